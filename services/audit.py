"""Who did what: a line of JSON for every call that changed something, and for every denial.

    {"time": …, "caller": …, "tenant": …, "method": …, "about": …, "code": …, "peer": …}

One file a day of each, in a folder of their own. Lines carry names, never content or tokens. They
are written by a thread, so that no call waits for the disk; a server that is killed may lose the
last moment of them. Denials have a file of their own with a bound on its bytes, so that whoever is
refused all day neither fills the disk nor hides what others did.
"""

import asyncio
import json
import os
import re
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from threading import Lock

import structlog
from pydantic import Field

from rankspace.config import Config
from services.meanwhile import meanwhile

CHANGES, DENIALS = "changes", "denials"
WAITING_MAX = 10_000
"""Denials that wait to be written; what comes beyond is counted and not kept."""

_NAME = re.compile(r"[A-Za-z0-9._/@:~-]{1,200}")
_FILE = re.compile(rf"(?:{CHANGES}|{DENIALS})-(\d{{4}}-\d\d-\d\d)\.jsonl")

log = structlog.get_logger()


class AuditConfig(Config):
    """Where it is written down who did what, and for how long."""

    folder: Path | None = None
    """Holds the files; unset: `audit` in the store's folder."""

    days_max: int = Field(default=90, gt=0, le=36500)
    """Days that are kept."""

    denial_bytes_max: int = Field(default=16 << 20, ge=1 << 10)
    """Bytes of denials a day."""


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")


@dataclass(frozen=True, slots=True)
class Deed:
    """One line."""

    caller: str
    tenant: str
    method: str
    about: str
    code: str
    peer: str = ""
    time: str = field(default_factory=_now)

    def line(self) -> str:
        """The line, as JSON. What is no name is not told: it could be anything."""
        about = self.about if _NAME.fullmatch(self.about) else "?" if self.about else ""
        return json.dumps(asdict(self) | {"about": about}, ensure_ascii=False) + "\n"


class Audit:
    """Writes deeds down, while `writing` is open."""

    def __init__(self, config: AuditConfig) -> None:
        self._config = config
        self._waiting: dict[str, list[Deed]] = {CHANGES: [], DENIALS: []}
        self._news = asyncio.Event()
        self._turn = Lock()  # the last write may begin while the one before it goes on
        self._lost = 0

    def note(self, deed: Deed, denied: bool) -> None:
        """Take a deed; it is on its way to the disk when this returns."""
        waiting = self._waiting[DENIALS if denied else CHANGES]
        if denied and len(waiting) >= WAITING_MAX:
            self._lost += 1
            return
        waiting.append(deed)
        self._news.set()

    @asynccontextmanager
    async def writing(self) -> AsyncIterator[None]:
        """Write for the length of the block, and what is left at its end."""
        if self._config.folder is None:
            yield
            return
        try:
            async with meanwhile(self._write_on(self._config.folder)):
                yield
        finally:
            await asyncio.to_thread(self._write, self._config.folder)

    async def _write_on(self, folder: Path) -> None:
        while True:
            await self._news.wait()
            self._news.clear()
            try:
                await asyncio.shield(asyncio.to_thread(self._write, folder))
            except OSError as error:
                log.error("the audit log cannot be written", problem=error.strerror)
                await asyncio.sleep(1.0)

    def _write(self, folder: Path) -> None:
        with self._turn:
            self._write_all(folder)

    def _write_all(self, folder: Path) -> None:
        if self._lost:
            log.warning("denials were not kept", count=self._lost)
            self._lost = 0
        for kind, waiting in self._waiting.items():
            deeds = waiting[:]
            bound = self._config.denial_bytes_max if kind == DENIALS else None
            write_down(folder, kind, deeds, bound)
            del waiting[: len(deeds)]  # only now: what could not be written is tried again
        forget(folder, self._config.days_max)


def write_down(folder: Path, kind: str, deeds: list[Deed], bytes_max: int | None = None) -> None:
    """Append deeds to the files of their days; beyond the bound a file takes no more."""
    for day in sorted({deed.time[:10] for deed in deeds}):
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        lines = "".join(deed.line() for deed in deeds if deed.time[:10] == day).encode()
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT
        with os.fdopen(os.open(folder / f"{kind}-{day}.jsonl", flags, 0o600), "ab", 0) as file:
            if bytes_max is None or file.tell() < bytes_max:
                file.write(lines)


def forget(folder: Path, days_max: int) -> None:
    """Remove the files of days that are too long ago."""
    first = (datetime.now(UTC) - timedelta(days=days_max)).date().isoformat()
    for path in folder.glob("*.jsonl"):
        day = _FILE.fullmatch(path.name)
        if day is not None and day[1] < first:
            path.unlink(missing_ok=True)


def deeds(folder: Path, since: str = "") -> Iterator[dict[str, str]]:
    """What is written down, day by day; a line that a crash cut short is passed over."""
    names = filter(None, (_FILE.fullmatch(path.name) for path in folder.glob("*")))
    for day in sorted({name[1] for name in names}):
        if day < since[:10]:
            continue
        found: list[dict[str, str]] = []
        for kind in (CHANGES, DENIALS):
            path = folder / f"{kind}-{day}.jsonl"
            found += _read(path) if path.exists() else []
        yield from (deed for deed in sorted(found, key=_time) if deed["time"] >= since)


def _time(deed: dict[str, str]) -> str:
    return deed["time"]


def _read(path: Path) -> Iterator[dict[str, str]]:
    for line in path.read_text("utf-8", "replace").splitlines():
        try:
            deed = json.loads(line)
        except ValueError:
            continue
        if isinstance(deed, dict) and "time" in deed:
            yield deed

"""The servers that are compared, each a process of its own on loopback, with what it costs.

CPU seconds are those of the process and all below it, the ended ones included. Memory is what is
theirs alone (RssAnon, added up) and what they share (RssShmem and RssFile, the largest of any one),
from /proc/PID/status; it is looked at four times a second, and the most that was seen counts.
"""

import asyncio
import math
import os
import pwd
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

STARTS_WITHIN_S = 60
TICKS = os.sysconf("SC_CLK_TCK")
PYTHON = sys.executable
LATE = "rankspace_event_loop_late_seconds_bucket"
BUSY = "rankspace_event_loop_busy_seconds_bucket"
BOUND_S = 0.02
NOT_INSTALLED = "not installed"


@dataclass(frozen=True)
class Late:
    """How late an event loop came, or how long it was busy itself, in the time looked at."""

    within: Mapping[float, float]
    """Ticks that came within so many seconds; the last bound is infinite."""

    @property
    def ticks(self) -> float:
        return self.within[math.inf]

    @property
    def over(self) -> float:
        """Ticks that were later than the bound."""
        return self.ticks - self.within[BOUND_S]

    def since(self, before: "Late") -> "Late":
        """Without what there was before."""
        return Late({bound: ticks - before.within[bound] for bound, ticks in self.within.items()})

    @staticmethod
    def of(runs: "Sequence[Late]") -> "Late":
        """All of them together."""
        return Late({bound: sum(run.within[bound] for run in runs) for bound in runs[0].within})


@dataclass
class Server:
    """One that runs."""

    process: subprocess.Popen[bytes]
    address: str
    metrics: str = ""
    """Where it tells about itself, if it does."""

    peak_mb: float = 0.0
    _stop: list[asyncio.Task[None]] = field(default_factory=list)

    def cpu_s(self) -> float:
        """CPU seconds so far."""
        found = [_stat(pid) for pid in self._tree()]
        own = sum(sum(times[:2]) for times in found)
        return (own + sum(found[0][2:] if found else ())) / TICKS

    def late(self, metric: str = LATE) -> Late:
        """How late its event loop has come so far; with BUSY, what it was busy of that."""
        with urllib.request.urlopen(f"http://{self.metrics}/metrics", timeout=10) as page:
            lines = [line.rsplit(" ", 1) for line in page.read().decode().splitlines()]
        found = [(name, value) for name, value in lines if name.startswith(metric)]
        return Late({float(name.split('"')[1]): float(value) for name, value in found})

    def memory_mb(self) -> float:
        rows = [_status(pid) for pid in self._tree()]
        alone = sum(row.get("RssAnon", 0) for row in rows)
        shared = sum(max(row.get(name, 0) for row in rows) for name in ("RssFile", "RssShmem"))
        return (alone + shared) / 1024

    async def watch(self) -> None:
        """Keep the peak, for ever."""
        while True:
            self.peak_mb = max(self.peak_mb, self.memory_mb())
            await asyncio.sleep(0.25)

    def _tree(self) -> list[int]:
        found = [self.process.pid]
        for pid in found:
            found += _children(pid)
        return found


def _children(pid: int) -> list[int]:
    try:
        tasks = list(Path(f"/proc/{pid}/task").iterdir())
        return [int(word) for task in tasks for word in (task / "children").read_text().split()]
    except OSError:
        return []


def _stat(pid: int) -> tuple[int, ...]:
    """User and system ticks of a process, and of the children it has waited for."""
    try:
        words = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return (0, 0, 0, 0)
    return tuple(int(word) for word in words[11:15])


def _status(pid: int) -> dict[str, int]:
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return {}
    named = (line.split(":", 1) for line in lines if line.endswith("kB"))
    return {name: int(value.split()[0]) for name, value in named}


@contextmanager
def _process(
    command: Sequence[str | Path],
    log: Path,
    user: str | None = None,
    environment: dict[str, str] | None = None,
    stop: signal.Signals = signal.SIGTERM,
) -> Iterator[subprocess.Popen[bytes]]:
    with log.open("ab") as said:
        process = subprocess.Popen(  # noqa: S603 - our own words
            [str(word) for word in command],
            stdout=said, stderr=said, user=user, env=os.environ | (environment or {}),
        )  # fmt: skip
    try:
        yield process
    finally:
        process.send_signal(stop)
        try:
            process.wait(timeout=60)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _until(ready: Callable[[], bool], process: subprocess.Popen[bytes], log: Path) -> None:
    until = time.monotonic() + STARTS_WITHIN_S
    while not ready():
        if process.poll() is not None or time.monotonic() > until:
            raise RuntimeError(f"a server did not start:\n{log.read_text()[-2000:]}")
        time.sleep(0.05)


def _filled(file: Path) -> bool:
    return file.exists() and bool(file.read_text())


@contextmanager
def echo(folder: Path) -> Iterator[Server]:
    """The bare grpc.aio server."""
    port_file, log = folder / "port", folder / "log"
    with _process([PYTHON, "-m", "benchmarks._ingest_echo", port_file], log) as process:
        _until(lambda: _filled(port_file), process, log)
        yield Server(process, f"127.0.0.1:{port_file.read_text()}")


@contextmanager
def rankspace(
    folder: Path, profile: Path | None = None, program: Sequence[str | Path] = ()
) -> Iterator[Server]:
    """`rankspace serve` as it is, and its metrics; under a profiler if there is a file for it.

    `program` is another command line that serves like it.
    """
    port_file, log = folder / "port", folder / "log"
    program = program or [Path(PYTHON).with_name("rankspace")]
    if profile:
        program = [PYTHON, "-m", "benchmarks._ingest_profiled", profile]
    page = f"127.0.0.1:{_free_port()}"
    settings = {
        "RANKSPACE_GATEWAY__PORT_FILE": str(port_file),
        "RANKSPACE_GATEWAY__METRICS_ADDRESS": page,
    }
    command = [*program, "serve", "--address", "127.0.0.1:0", "--folder", folder / "data"]
    with _process(command, log, environment=settings) as process:
        _until(lambda: _filled(port_file), process, log)
        yield Server(process, f"127.0.0.1:{port_file.read_text().strip()}", page)


@contextmanager
def redis(folder: Path) -> Iterator[Server]:
    """Redis that syncs its log before it answers."""
    port, log = _free_port(), folder / "log"
    settings = {
        "port": port, "bind": "127.0.0.1", "dir": folder, "save": "",
        "appendonly": "yes", "appendfsync": "always", "auto-aof-rewrite-percentage": 0,
    }  # fmt: skip
    words = [word for name, value in settings.items() for word in (f"--{name}", str(value))]
    with _process([_found("redis-server"), *words], log) as process:
        _until(lambda: _answers(port), process, log)
        yield Server(process, f"127.0.0.1:{port}")


@contextmanager
def postgres(folder: Path) -> Iterator[Server]:
    """PostgreSQL as Debian sets it up: every commit is synced."""
    port, log, data = _free_port(), folder / "log", folder / "data"
    user = "postgres" if os.geteuid() == 0 else None
    if user:
        shutil.chown(folder, user)
    made: list[str | Path] = [
        _found("initdb"),
        "-D",
        data,
        "-U",
        "bench",
        "-A",
        "trust",
        "-E",
        "UTF8",
    ]
    subprocess.run(made, user=user, check=True, capture_output=True)  # noqa: S603
    words: list[str | Path] = ["-D", data, "-p", str(port), "-h", "127.0.0.1", "-k", folder]
    end = signal.SIGINT  # the fast way down
    with _process([_found("postgres"), *words], log, user, stop=end) as process:
        _until(lambda: _answers(port), process, log)
        yield Server(process, f"host=127.0.0.1 port={port} user=bench dbname=postgres")


def installed(program: str) -> bool:
    """Whether there is such a program, and who would run it."""
    if program == "postgres" and os.geteuid() == 0:
        try:
            pwd.getpwnam("postgres")
        except KeyError:
            return False
    return bool(_where(program))


def _where(program: str) -> str | None:
    versions = sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{program}"))
    return shutil.which(program) or (str(versions[-1]) if versions else None)


def _found(program: str) -> str:
    found = _where(program)
    if not found:
        raise RuntimeError(f"{program} is {NOT_INSTALLED}")
    return found


def _free_port() -> int:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return int(taken.getsockname()[1])


def _answers(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
    except OSError:
        return False
    return True

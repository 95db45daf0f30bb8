"""Which of the processes on one store hands out jobs and keeps the store tidy: who holds a lease.

    waiting ──nobody holds it, or its holder has gone──▶ leading ──another has taken it──▶ waiting

A holder has gone when it has let go, when its process has ended (told at once on the same machine),
or when its lease has not beaten for `lease_s`. A holder that cannot reach the store goes on: what
it does is refused by its term if another has taken its place meanwhile (`rankspace.store.leases`).
"""

import asyncio
import os
import secrets
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import structlog

from rankspace.errors import RankspaceError
from rankspace.store.jobs import HANDING_OUT
from rankspace.store.leases import Lease, Leases

LOOK_S = 1.0
"""How often a process that waits looks at the lease, at most."""

log = structlog.get_logger()


class Leader:
    """Takes the lease when it can, and says so: `won` with the new term, `lost` when it is over."""

    def __init__(
        self,
        leases: Leases,
        lease_s: float,
        won: Callable[[int], Awaitable[None]],
        lost: Callable[[], Awaitable[None]],
    ) -> None:
        self._leases = leases
        self._lease_s = lease_s
        self._won, self._lost = won, lost
        self._name = f"{_here()}:{secrets.token_hex(4)}"
        self._held: Lease | None = None
        self._drains = False
        self._seen, self._seen_at = Lease(HANDING_OUT), time.monotonic()
        self._task: asyncio.Task[None] | None = None

    async def begin(self) -> None:
        """Try once, so that a process that is alone leads when this returns; then go on trying."""
        await self._step()
        self._task = asyncio.create_task(self._go_on())
        self._task.add_done_callback(_tell_bug)

    def drain(self) -> None:
        """Take the lease no more: what would begin now would soon be stopped."""
        self._drains = True

    async def close(self) -> None:
        """Stop leading, then let go of the lease."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait((self._task,))
        if self._held is not None:
            await self._let_go(self._held)

    async def _go_on(self) -> None:
        while True:
            wait_s = self._lease_s / 3 if self._held else min(LOOK_S, self._lease_s / 3)
            await asyncio.sleep(wait_s)
            await self._step()

    async def _step(self) -> None:
        try:
            if self._held is None:
                if not self._drains:
                    await self._look()
            elif not await asyncio.to_thread(self._leases.beat, self._held):
                self._held = None
                log.warning("jobs are handed out by another process now")
                await self._lost()
        except RankspaceError as error:  # such as a busy store: it will pass
            log.warning("the lease of the jobs", problem=str(error))

    async def _look(self) -> None:
        """Take the lease if it is free."""
        found = await asyncio.to_thread(self._leases.get, HANDING_OUT)
        if found != self._seen:
            self._seen, self._seen_at = found, time.monotonic()
        silent = time.monotonic() - self._seen_at >= self._lease_s
        if found.holder and not silent and not has_ended(found.holder):
            return
        held = await asyncio.to_thread(self._leases.take, found, self._name)
        if held is not None:
            await self._lead(held)

    async def _lead(self, held: Lease) -> None:
        began = False
        try:
            await self._won(held.term)
            self._held, began = held, True
            log.info("jobs are handed out here", term=held.term)
        finally:
            if not began:
                await self._let_go(held)

    async def _let_go(self, held: Lease) -> None:
        self._held = None
        await self._lost()
        try:
            await asyncio.to_thread(self._leases.give, held)
        except RankspaceError as error:  # another will take it when it has been silent for long
            log.warning("the lease of the jobs", problem=str(error))


def has_ended(holder: str) -> bool:
    """Whether a holder's process is known to have ended: only where it can be looked for."""
    machine, process, began = _here().rsplit(":", 2)
    its_machine, its_process, its_begin, *_ = [*holder.rsplit(":", 3), "", "", ""][:4]
    if not machine or its_machine != machine:
        return False
    if (its_process, its_begin) == (process, began):
        return False
    return _began(its_process) != its_begin


def _here() -> str:
    """This process: its machine and container, its number, when it began."""
    process = str(os.getpid())
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text("ascii").strip()
        numbers = str(Path("/proc/self/ns/pid").readlink())
    except OSError:  # not Linux: nobody can tell whether it lives
        return f":{process}:{time.monotonic_ns()}"
    return f"{boot} {numbers.strip('pid:[]')}:{process}:{_began(process)}"


def _began(process: str) -> str:
    """When a process began, in ticks since the machine did; empty: it has ended."""
    try:
        stat = Path("/proc", process, "stat").read_text("utf-8", "replace")
    except OSError:
        return ""
    state, *rest = stat.rpartition(")")[2].split()
    return "" if state in "ZX" else rest[18]


def _tell_bug(task: asyncio.Task[None]) -> None:
    """Nobody waits for the task: what ended it would never be known."""
    if not task.cancelled() and (bug := task.exception()) is not None:
        log.error("the lease of the jobs is not looked after; restart the server", exc_info=bug)

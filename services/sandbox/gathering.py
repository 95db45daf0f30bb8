"""Heads that wait at the same time go into one question.

A process answers for many parts nearly as soon as for one, and what it costs the event loop to ask
is the same. Each tenant's go by themselves, one question at a time: while it is answered the next
ones gather.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial

from rankspace.media.heads import Heads, joined
from services.sandbox.asking import Asking
from services.sandbox.exchange import Exchange, Lender
from services.sandbox.messages import HEADS_AT_ONCE

Untold = list[int]
"""Which parts their heads do not tell to be in order."""

Ask = Callable[[Heads, str], tuple[Asking[Untold], Lender]]
"""How to find these out, of parts of a tenant, and of whom to have the process."""


@dataclass(frozen=True, slots=True)
class _Waiting:
    heads: Heads
    answer: asyncio.Future[Untold]


@dataclass(slots=True)
class _Line:
    """Who waits of a tenant."""

    over: asyncio.Future[None]
    waiting: deque[_Waiting] = field(default_factory=deque)
    asked: Sequence[_Waiting] = ()
    exchange: Exchange[Untold] | None = None


class Gathering:
    """Asks for many at once; for one event loop."""

    def __init__(self, ask: Ask) -> None:
        self._ask = ask
        self._lines: dict[str, _Line] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    async def untold(self, heads: Heads, tenant: str) -> Untold:
        """Which of these parts of a tenant are untold, asked together with others of the tenant."""
        loop = asyncio.get_running_loop()
        waiting = _Waiting(heads, loop.create_future())
        line = self._lines.get(tenant)
        if line is not None:
            line.waiting.append(waiting)
        else:
            line = self._lines[tenant] = _Line(loop.create_future(), deque((waiting,)))
            task = asyncio.create_task(self._watch(line, tenant))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
            self._next(line, tenant)
        return await waiting.answer

    async def _watch(self, line: _Line, tenant: str) -> None:
        """Until nobody of the tenant waits; a loop that ends before that cancels this."""
        try:
            await line.over
        except asyncio.CancelledError:
            self._lines.pop(tenant, None)
            if line.exchange is not None:
                line.exchange.abandon()
            for waiting in (*line.asked, *line.waiting):
                waiting.answer.cancel()
            raise

    def _next(self, line: _Line, tenant: str) -> None:
        """Ask for those who wait."""
        line.asked = _together(line.waiting)
        heads = joined([waiting.heads for waiting in line.asked])
        asking, lender = self._ask(heads, tenant)
        line.exchange = Exchange(asking, lender, partial(self._told, line, tenant))
        line.exchange.begin()

    def _told(self, line: _Line, tenant: str, found: Untold | Exception) -> None:
        _tell(line.asked, found)
        line.asked, line.exchange = (), None
        if line.waiting:
            self._next(line, tenant)
        else:
            del self._lines[tenant]
            line.over.set_result(None)


def _tell(asked: Sequence[_Waiting], found: Untold | Exception) -> None:
    first = 0
    for waiting in asked:
        end = first + len(waiting.heads)
        if waiting.answer.done():  # who asked has gone
            pass
        elif isinstance(found, Exception):
            waiting.answer.set_exception(found)
        else:
            waiting.answer.set_result([at - first for at in found if first <= at < end])
        first = end


def _together(line: deque[_Waiting]) -> list[_Waiting]:
    """The first who wait, as many as go into one question."""
    found = [line.popleft()]
    size = len(found[0].heads)
    while line and size + len(line[0].heads) <= HEADS_AT_ONCE:
        found.append(line.popleft())
        size += len(found[-1].heads)
    return found

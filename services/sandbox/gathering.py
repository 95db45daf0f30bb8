"""Heads that wait at the same time go into one question.

A process answers for many parts nearly as soon as for one, and what it costs the event loop to ask
is the same. Each tenant's go by themselves, one question at a time: while it is answered the next
ones gather.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from services.sandbox.asking import HEADS_AT_ONCE, Glimpse

Ask = Callable[[Sequence[Glimpse], str], Awaitable[list[int]]]
"""Which of these parts of a tenant their heads do not tell to be in order."""


@dataclass(frozen=True, slots=True)
class _Waiting:
    glimpses: Sequence[Glimpse]
    answer: "asyncio.Future[list[int]]"


class Gathering:
    """Asks for many at once; for one event loop."""

    def __init__(self, ask: Ask) -> None:
        self._ask = ask
        self._lines: dict[str, deque[_Waiting]] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    async def untold(self, glimpses: Sequence[Glimpse], tenant: str) -> list[int]:
        """As `ask`, together with others of the tenant."""
        waiting = _Waiting(glimpses, asyncio.get_running_loop().create_future())
        if (line := self._lines.get(tenant)) is not None:
            line.append(waiting)
        else:
            self._lines[tenant] = deque((waiting,))
            task = asyncio.create_task(self._serve(tenant))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        return await waiting.answer

    async def _serve(self, tenant: str) -> None:
        """Until nobody of the tenant waits."""
        line = self._lines[tenant]
        try:
            while line:
                await self._answer(_together(line), tenant)
        finally:
            del self._lines[tenant]
            for waiting in line:  # only where this task was cancelled
                waiting.answer.cancel()

    async def _answer(self, those: Sequence[_Waiting], tenant: str) -> None:
        glimpses = [one for waiting in those for one in waiting.glimpses]
        asking = asyncio.ensure_future(self._ask(glimpses, tenant))
        try:
            await asyncio.wait((asking,))
        except asyncio.CancelledError:
            asking.cancel()
            for waiting in those:
                waiting.answer.cancel()
            raise
        problem = asking.exception()
        untold = asking.result() if problem is None else []
        first = 0
        for waiting in those:
            end = first + len(waiting.glimpses)
            if waiting.answer.done():  # who asked has gone
                pass
            elif problem is not None:
                waiting.answer.set_exception(problem)
            else:
                waiting.answer.set_result([at - first for at in untold if first <= at < end])
            first = end


def _together(line: deque[_Waiting]) -> list[_Waiting]:
    """The first who wait, as many as go into one question."""
    found = [line.popleft()]
    size = len(found[0].glimpses)
    while line and size + len(line[0].glimpses) <= HEADS_AT_ONCE:
        found.append(line.popleft())
        size += len(found[-1].glimpses)
    return found

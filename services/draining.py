"""The sign that the server is about to stop, for calls that would otherwise go on for ever.

A call that only waits for news ends at once, and one that is at work is told to come to its end, so
that a server stops when its work is done and not when its patience is.
"""

import asyncio
import time
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from typing import Any, TypeVar

from rankspace.errors import Unreachable
from rankspace.v1.problem_pb2 import GoAway

Item = TypeVar("Item")

STOPPING = "the server is about to stop; come again and go on where you were"
_END: Any = object()


class Draining:
    """Whether the server drains, and how long calls still have."""

    def __init__(self, grace_s: float) -> None:
        self._grace_s = grace_s
        self._until = 0.0
        self._begun = asyncio.Event()

    def begin(self) -> None:
        """From now on calls should come to their end."""
        self._until = time.monotonic() + self._grace_s
        self._begun.set()

    async def begun(self) -> GoAway:
        """Wait until the drain begins; what clients are then told."""
        await self._begun.wait()
        return GoAway(time_left_s=max(0.0, self._until - time.monotonic()), message=STOPPING)

    async def over(self, items: AsyncIterator[Item]) -> AsyncGenerator[Item | GoAway, None]:
        """The items as they come and, once, when the drain begins, the word to go away."""
        sign = asyncio.ensure_future(self.begun())
        coming: asyncio.Future[Item] = asyncio.ensure_future(anext(items, _END))
        told = False
        try:
            while True:
                waited = (coming,) if told else (coming, sign)
                await asyncio.wait(waited, return_when=asyncio.FIRST_COMPLETED)
                if sign.done() and not told:
                    told = True
                    yield sign.result()
                elif (item := coming.result()) is _END:
                    return
                else:
                    yield item
                    coming = asyncio.ensure_future(anext(items, _END))
        finally:
            sign.cancel()
            coming.cancel()
            await asyncio.gather(coming, return_exceptions=True)

    async def until(self, items: AsyncGenerator[Item, None]) -> AsyncGenerator[Item, None]:
        """The items as they come; Unreachable when the drain begins."""
        async with aclosing(items), aclosing(self.over(items)) as found:
            async for item in found:
                if isinstance(item, GoAway):
                    raise Unreachable(STOPPING)
                yield item

"""How much may be held in memory: bytes that are taken, waited for and given back, in order.

What comes first is served first, so that a large message is not passed by small ones for ever. A
message larger than all there is may come when nothing else is held.
"""

import asyncio
from collections import deque


class Credits:
    """So many messages and bytes."""

    def __init__(self, size: int, count: int) -> None:
        self._most = (size, count)
        self._size = 0
        self._count = 0
        self._waiting: deque[tuple[int, asyncio.Future[None]]] = deque()

    async def take(self, size: int) -> None:
        """Hold one message of this size, once there is room for it."""
        if self._waiting or not self._fits(size):
            turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._waiting.append((size, turn))
            try:
                await turn
            except asyncio.CancelledError:
                self._leave(size, turn)
                raise
            return
        self._hold(size)

    def give(self, size: int) -> None:
        """Hold it no longer."""
        self._size -= size
        self._count -= 1
        self._serve()

    def _fits(self, size: int) -> bool:
        most, count = self._most
        return not self._count or (self._size + size <= most and self._count < count)

    def _hold(self, size: int) -> None:
        self._size += size
        self._count += 1

    def _serve(self) -> None:
        while self._waiting and self._fits(self._waiting[0][0]):
            size, turn = self._waiting.popleft()
            self._hold(size)
            turn.set_result(None)

    def _leave(self, size: int, turn: "asyncio.Future[None]") -> None:
        """Who waited was cancelled, perhaps just after it was served."""
        if turn.done() and not turn.cancelled():
            self.give(size)
        else:
            self._waiting = deque(other for other in self._waiting if other[1] is not turn)
            self._serve()

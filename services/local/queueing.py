"""Appends that wait to be committed: bounded in number and in bytes, in the order of the calls.

Beyond the bounds a call waits for room, first come first served, and after a while it is
Overloaded.
"""

import asyncio
from collections import defaultdict, deque
from dataclasses import dataclass, field
from queue import SimpleQueue
from typing import Any

from rankspace.errors import Overloaded
from rankspace.store.drafts import Batch
from rankspace.store.entries import Appended
from services.local.config import EngineConfig
from services.telemetry import tracing
from services.telemetry.metrics import COMMIT_QUEUE, COMMIT_QUEUE_BYTES


@dataclass(slots=True, eq=False)
class Waiting:
    """An append that has not been committed."""

    stream: str
    size: int
    """Media bytes."""

    samples: int
    answer: asyncio.Future[Appended]
    batch: Batch | None = None
    """What is to be committed, once it is ready for that."""

    span: Any = field(default_factory=tracing.current)


class Queue:
    """What waits, and who waits to get in. The loop fills it, and one thread takes from it."""

    def __init__(self, config: EngineConfig) -> None:
        self._config = config
        self._number = self._bytes = 0
        self._lines: defaultdict[str, deque[Waiting]] = defaultdict(deque)
        """By stream: what is not ready, and what is behind it."""

        self._ready: SimpleQueue[Waiting | None] = SimpleQueue()
        self._next: Waiting | None = None
        """Taken out, and too much for the group before it."""

        self._room = asyncio.Event()
        self._turn = asyncio.Lock()  # who waits for room waits in line

    def __len__(self) -> int:
        return self._number

    async def enter(self, size: int) -> None:
        """Wait for room; an append that alone is larger than the bound goes in alone."""
        if self._fits(size) and not self._turn.locked():
            return
        try:
            async with asyncio.timeout(self._config.commit_wait_s), self._turn:
                while not self._fits(size):
                    self._room.clear()
                    await self._room.wait()
        except TimeoutError as error:
            raise Overloaded("too much waits to be stored", retry_after_s=1.0) from error

    def _fits(self, size: int) -> bool:
        config = self._config
        return not self._number or (
            self._number < config.commit_queue_max
            and self._bytes + size <= config.commit_queue_bytes_max
        )

    def add(self, waiting: Waiting) -> None:
        """Take what has found room."""
        self._lines[waiting.stream].append(waiting)
        self._count(1, waiting.size)

    def ready(self, waiting: Waiting, batch: Batch | None) -> None:
        """It can be committed now, or (None) it never will be: nothing waits for it any longer."""
        line = self._lines[waiting.stream]
        waiting.batch = batch
        if batch is None:
            line.remove(waiting)
            self.leave(waiting)
        while line and line[0].batch is not None:
            self._ready.put(line.popleft())
        if not line:
            del self._lines[waiting.stream]

    def leave(self, waiting: Waiting) -> None:
        """Make room."""
        self._count(-1, -waiting.size)
        self._room.set()

    async def emptied(self) -> None:
        """Wait until everything has left; then no more groups come."""
        while self._number:
            self._room.clear()
            await self._room.wait()
        self._ready.put(None)

    def group(self) -> list[Waiting]:
        """What is ready, in its order: nothing passes an append to its stream.

        Waits for it, in a thread; there is nothing once all has left.
        """
        config = self._config
        first = self._next or self._ready.get()
        self._next = None
        if first is None:
            return []
        group, size, samples = [first], first.size, first.samples
        while not self._ready.empty():
            waiting = self._ready.get()
            if waiting is None:
                self._ready.put(None)
                break
            size += waiting.size
            samples += waiting.samples
            if size > config.commit_bytes_max or samples > config.commit_samples_max:
                self._next = waiting
                break
            group.append(waiting)
        return group

    def _count(self, appends: int, size: int) -> None:
        self._number += appends
        self._bytes += size
        COMMIT_QUEUE.add(appends)
        COMMIT_QUEUE_BYTES.add(size)

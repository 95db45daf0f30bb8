"""Appends that wait to be committed: bounded in number and in bytes, in the order of the calls.

Beyond the bounds a call waits for room, first come first served, and after a while it is
Overloaded.
"""

import asyncio
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
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

    taken: bool = False
    """A group has it."""

    span: Any = field(default_factory=tracing.current)


class Queue:
    """What waits, and who waits to get in."""

    def __init__(self, config: EngineConfig) -> None:
        self._config = config
        self._waiting: deque[Waiting] = deque()
        self._bytes = 0
        self._room = asyncio.Event()
        self._turn = asyncio.Lock()  # who waits for room waits in line

    def __iter__(self) -> Iterator[Waiting]:
        return iter(self._waiting)

    async def enter(self, size: int) -> None:
        """Wait for room; an append that alone is larger than the bound goes in alone."""
        config = self._config
        try:
            async with asyncio.timeout(config.commit_wait_s), self._turn:
                while self._waiting and (
                    len(self._waiting) >= config.commit_queue_max
                    or self._bytes + size > config.commit_queue_bytes_max
                ):
                    self._room.clear()
                    await self._room.wait()
        except TimeoutError as error:
            raise Overloaded("too much waits to be stored", retry_after_s=1.0) from error

    def add(self, waiting: Waiting) -> None:
        """Take what has found room."""
        self._waiting.append(waiting)
        self._count(1, waiting.size)

    def leave(self, waiting: Waiting) -> None:
        """Make room."""
        self._waiting.remove(waiting)
        self._count(-1, -waiting.size)
        self._room.set()

    def group(self) -> list[Waiting]:
        """What is ready and not taken, in its order; nothing passes an append to its stream."""
        group: list[Waiting] = []
        passed: set[str] = set()
        size = samples = 0
        for waiting in self._waiting:
            if waiting.taken:
                continue
            if waiting.batch is None:
                passed.add(waiting.stream)
            elif waiting.stream not in passed:
                size += waiting.size
                samples += waiting.samples
                if group and (
                    size > self._config.commit_bytes_max
                    or samples > self._config.commit_samples_max
                ):
                    break
                group.append(waiting)
        for waiting in group:
            waiting.taken = True
        return group

    def _count(self, appends: int, size: int) -> None:
        self._bytes += size
        COMMIT_QUEUE.add(appends)
        COMMIT_QUEUE_BYTES.add(size)

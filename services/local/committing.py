"""Group commit: appends that wait at the same time share one transaction and one fsync.

    append → a place in the queue → prepared in a thread (hashes, large media to disk) ┐
    append → a place in the queue → prepared in a thread                               ├→ commit
    append → …                                                                         ┘

One commit is under way at a time; what gets ready meanwhile goes into the next one. Appends to a
stream commit in the order of their calls. The queue is bounded in appends and in bytes: beyond it a
call waits for room, and after a while it is Overloaded.
"""

import asyncio
import time
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import structlog

from rankspace.errors import Overloaded, RankspaceError
from rankspace.media.sample import Sample
from rankspace.store.append import Batch
from rankspace.store.content import media_bytes
from rankspace.store.entries import Appended, Durability, Outcome, Rejected
from services.local.config import EngineConfig
from services.telemetry import tracing
from services.telemetry.metrics import (
    COMMIT_GROUP,
    COMMIT_QUEUE,
    COMMIT_QUEUE_BYTES,
    COMMIT_SECONDS,
)

Samples = Sequence[Sample | Rejected]
Run = Callable[[Callable[[], Any]], Awaitable[Any]]
"""Does something in a thread."""

log = structlog.get_logger()


class Appending(Protocol):
    """What the committer asks of the log."""

    def prepare(
        self,
        stream: str,
        offset: int | None,
        samples: Samples,
        epoch: int = 0,
        durability: Durability = "synced",
    ) -> Batch:
        """Hash samples and lay them out."""

    def append_all(self, batches: Sequence[Batch]) -> Sequence[Outcome]:
        """Append batches with one commit."""


@dataclass(slots=True, eq=False)
class _Waiting:
    """An append that has not been committed."""

    stream: str
    size: int
    answer: asyncio.Future[Appended]
    batch: Batch | None = None
    span: Any = field(default_factory=tracing.current)


class Committer:
    """Feeds the log of one store. `begin` first; after `close` nothing is taken."""

    def __init__(self, appending: Appending, run: Run, config: EngineConfig) -> None:
        self._log = appending
        self._run = run
        self._config = config
        self._queue: deque[_Waiting] = deque()
        self._bytes = 0
        self._ready = asyncio.Event()
        self._room = asyncio.Event()
        self._turn = asyncio.Lock()  # who waits for room waits in line
        self._closed = False
        self._task: asyncio.Task[None] | None = None

    def begin(self) -> None:
        """Start committing."""
        self._task = asyncio.create_task(self._commit_all())

    async def close(self) -> None:
        """Take nothing more, commit what waits, and end."""
        self._closed = True
        self._ready.set()
        if self._task is not None:
            await self._task

    async def append(
        self, stream: str, offset: int | None, samples: Samples, epoch: int, durability: Durability
    ) -> Appended:
        """Append in the next commit; see `Log.append`."""
        size = sum(media_bytes(sample) for sample in samples if isinstance(sample, Sample))
        await self._enter(size)
        waiting = _Waiting(stream, size, asyncio.get_running_loop().create_future())
        self._queue.append(waiting)
        self._count(1, size)
        try:
            waiting.batch = await self._run(
                lambda: self._log.prepare(stream, offset, samples, epoch, durability)
            )
        finally:
            if waiting.batch is None:  # refused, or nobody waits for the answer any more
                self._queue.remove(waiting)
                self._count(-1, -size)
            self._ready.set()
        return await waiting.answer

    async def _enter(self, size: int) -> None:
        """Wait for room; an append that alone is larger than the bound goes in alone."""
        config = self._config
        try:
            async with asyncio.timeout(config.commit_wait_s), self._turn:
                while self._queue and (
                    len(self._queue) >= config.commit_queue_max
                    or self._bytes + size > config.commit_queue_bytes_max
                ):
                    self._room.clear()
                    await self._room.wait()
        except TimeoutError as error:
            raise Overloaded("too much waits to be stored", retry_after_s=1.0) from error
        if self._closed:
            raise Overloaded("the server is about to stop", retry_after_s=1.0)

    def _count(self, appends: int, size: int) -> None:
        self._bytes += size
        COMMIT_QUEUE.add(appends)
        COMMIT_QUEUE_BYTES.add(size)
        if appends < 0:
            self._room.set()

    async def _commit_all(self) -> None:
        while self._queue or not self._closed:
            group = self._group()
            if group:
                await self._commit(group)
            else:
                self._ready.clear()
                await self._ready.wait()

    def _group(self) -> list[_Waiting]:
        """What is ready, in its order; nothing passes an append to the same stream."""
        group: list[_Waiting] = []
        passed: set[str] = set()
        size = 0
        for waiting in self._queue:
            if waiting.batch is None:
                passed.add(waiting.stream)
            elif waiting.stream not in passed:
                if group and size + waiting.size > self._config.commit_bytes_max:
                    break
                group.append(waiting)
                size += waiting.size
        return group

    async def _commit(self, group: Sequence[_Waiting]) -> None:
        batches = [waiting.batch for waiting in group if waiting.batch is not None]
        began = time.monotonic()
        done = asyncio.ensure_future(self._run(lambda: self._log.append_all(batches)))
        await asyncio.wait((done,))
        COMMIT_SECONDS.see(time.monotonic() - began)
        COMMIT_GROUP.see(len(group))
        bug = done.exception()
        outcomes = [bug] * len(group) if bug is not None else done.result()
        for waiting, outcome in zip(group, outcomes, strict=True):
            self._queue.remove(waiting)
            self._count(-1, -waiting.size)
            tracing.note(waiting.span, group=len(group))
            _answer(waiting.answer, outcome)


def _answer(future: asyncio.Future[Appended], outcome: Appended | BaseException) -> None:
    if type(outcome) is RankspaceError:
        log.error("bug", exc_info=outcome)
    if future.done():  # who asked has gone
        return
    if isinstance(outcome, Appended):
        future.set_result(outcome)
    else:
        future.set_exception(outcome)

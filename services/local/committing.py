"""Group commit: appends that wait at the same time share one transaction and one fsync.

    append, large media → written in one of many threads ┐
    append, small       ─────────────────────────────────┼→ a group → brought to disk → committed
    append, …                                            ┘     next group → brought …  → committed

While a group is committed the next one is brought to disk: its large media are synced, its small
samples hashed and laid out, all in one thread, for many would only wait for each other. What comes
meanwhile goes into the group after it. Appends to a stream commit in the order of their calls. The
queue is bounded in appends and in bytes: beyond it a call waits for room, and after a while it is
Overloaded. SQLite's log comes into its database beside the commits, which wait for that only when
it has grown long.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from typing import Any, Protocol

import structlog

from rankspace.errors import Overloaded, RankspaceError
from rankspace.media.sample import Sample
from rankspace.store.append import Batch
from rankspace.store.appends import unused
from rankspace.store.content import media_bytes
from rankspace.store.entries import Appended, Durability, Outcome, Rejected
from services.local.config import EngineConfig
from services.local.queueing import Queue, Waiting
from services.telemetry import tracing
from services.telemetry.metrics import COMMIT_GROUP, COMMIT_SECONDS, SETTLE_SECONDS

Samples = Sequence[Sample | Rejected]
Run = Callable[[Callable[[], Any]], Awaitable[Any]]
"""Does something in a thread."""

log = structlog.get_logger()


class Checkpointing(Protocol):
    """What the committer asks of the database's own log."""

    def due(self) -> bool:
        """Whether a checkpoint beside the commits is worth its while."""

    def overdue(self) -> bool:
        """Whether commits should wait for one."""

    def run(self) -> None:
        """Do one."""


class Appending(Protocol):
    """What the committer asks of the log."""

    inline_bytes_max: int

    @property
    def stopped(self) -> bool:
        """Whether nothing more can be stored."""

    @property
    def checkpoints(self) -> Checkpointing:
        """Of the database that it writes to."""

    def prepare(
        self,
        stream: str,
        offset: int | None,
        samples: Samples,
        epoch: int = 0,
        durability: Durability = "synced",
    ) -> Batch:
        """Hash samples and lay them out."""

    def settle(self, batches: Sequence[Batch]) -> None:
        """Bring the media of batches to disk, ahead of their commit."""

    def commit(self, batches: Sequence[Batch]) -> Sequence[Outcome]:
        """Append batches with one commit."""

    def discard(self, batches: Sequence[Batch]) -> None:
        """Remove the media of batches that no row names."""


class Committer:
    """Feeds the log of one store. `begin` first; after `close` nothing is taken.

    `run` does what may take long: writing large media, and removing them. Commits have threads of
    their own.
    """

    def __init__(self, appending: Appending, run: Run, config: EngineConfig) -> None:
        self._log = appending
        self._run = run
        self._queue = Queue(config)
        self._ready = asyncio.Event()
        self._closed = self._told = False
        self._own = ThreadPoolExecutor(3, "commit")  # to bring, to commit, to checkpoint
        self._task: asyncio.Task[None] | None = None
        self._checkpoint: asyncio.Task[None] | None = None
        self._removing: set[asyncio.Future[None]] = set()

    def begin(self) -> None:
        """Start committing."""
        self._task = asyncio.create_task(self._commit_all())

    async def close(self) -> None:
        """Take nothing more, commit what waits, and end."""
        self._closed = True
        self._ready.set()
        if self._task is not None:
            await self._task
        if self._removing:
            await asyncio.wait(self._removing)
        await asyncio.to_thread(self._own.shutdown)

    async def append(
        self, stream: str, offset: int | None, samples: Samples, epoch: int, durability: Durability
    ) -> Appended:
        """Append in the next commit; see `Log.append`."""
        sizes = [media_bytes(sample) for sample in samples if isinstance(sample, Sample)]
        size = sum(sizes)
        await self._queue.enter(size)
        if self._closed:
            raise Overloaded("the server is about to stop", retry_after_s=1.0)
        prepare = partial(self._log.prepare, stream, offset, samples, epoch, durability)
        answer = asyncio.get_running_loop().create_future()
        waiting = Waiting(stream, size, len(samples), prepare, answer)
        self._queue.add(waiting)
        if max(sizes, default=0) > self._log.inline_bytes_max:
            await self._write(waiting)
        waiting.ready = True
        self._ready.set()
        return await waiting.answer

    async def _write(self, waiting: Waiting) -> None:
        """Prepare an append with large media; it leaves the queue where that fails."""
        task = asyncio.ensure_future(self._run(waiting.prepare))
        try:
            waiting.batch = await asyncio.shield(task)
        except asyncio.CancelledError:
            task.add_done_callback(self._discard)
            raise
        finally:
            if waiting.batch is None:
                self._queue.leave(waiting)
                self._ready.set()

    def _discard(self, task: "asyncio.Future[Batch]") -> None:
        """Nobody waits any more for what was written."""
        if not task.cancelled() and task.exception() is None:
            self._remove([task.result()])

    def _remove(self, batches: Sequence[Batch]) -> None:
        """Have media removed that no row names, when there is time."""
        removing = asyncio.ensure_future(self._run(partial(self._log.discard, batches)))
        self._removing.add(removing)
        removing.add_done_callback(self._removing.discard)

    async def _commit_all(self) -> None:
        """Bring a group to disk while the one before it is committed, and so on."""
        committing: asyncio.Task[None] | None = None
        while not self._closed or any(not waiting.taken for waiting in self._queue):
            group = self._queue.group()
            if not group:
                self._ready.clear()
                await self._ready.wait()
                continue
            found = await self._brought(group)
            if committing is not None:
                await committing
            await self._wait_for_checkpoint()
            committing = asyncio.create_task(self._commit(group, found))
        if committing is not None:
            await committing
        if self._checkpoint is not None:
            await asyncio.wait((self._checkpoint,))

    async def _brought(self, group: Sequence[Waiting]) -> list[Batch | BaseException]:
        """The batches of a group with their media on disk, or what is wrong with them."""
        done = await self._in_thread(partial(self._bring, group))
        bug = done.exception()
        if bug is None:
            return done.result()
        if len(group) == 1:
            return [bug]
        return [one for waiting in group for one in await self._brought([waiting])]

    def _bring(self, group: Sequence[Waiting]) -> list[Batch | BaseException]:
        found: list[Batch | BaseException] = [
            waiting.batch or _prepared(waiting) for waiting in group
        ]
        media = [batch for batch in found if isinstance(batch, Batch) and batch.region]
        if media:
            began = time.monotonic()
            with suppress(RankspaceError):  # nothing is committed then, and that says why
                self._log.settle(media)
            SETTLE_SECONDS.see(time.monotonic() - began)
        return found

    async def _commit(
        self, group: Sequence[Waiting], found: Sequence[Batch | BaseException]
    ) -> None:
        batches = [batch for batch in found if isinstance(batch, Batch)]
        began = time.monotonic()
        done = await self._in_thread(partial(self._log.commit, batches))
        COMMIT_SECONDS.see(time.monotonic() - began)
        COMMIT_GROUP.see(len(group))
        self._tell_if_stopped()
        bug = done.exception()
        placed = iter([bug] * len(batches) if bug is not None else done.result())
        for waiting, one in zip(group, found, strict=True):
            self._queue.leave(waiting)
            tracing.note(waiting.span, group=len(group))
            _answer(waiting.answer, next(placed) if isinstance(one, Batch) else one)
        if bug is None and (rest := unused(batches, done.result())):
            self._remove(rest)

    def _tell_if_stopped(self) -> None:
        """Say once what a person has to see to."""
        if self._log.stopped and not self._told:
            self._told = True
            log.error(
                "the disk failed to sync: nothing more is stored until the server is restarted"
            )

    async def _wait_for_checkpoint(self) -> None:
        """Begin a checkpoint where one is due; where it is overdue wait for it, and for the rest.

        No commit is under way, so there is an end to what is to be brought into the database.
        """
        checkpoints = self._log.checkpoints
        if self._checkpoint is None and checkpoints.due():
            self._checkpoint = asyncio.create_task(self._check())
        if checkpoints.overdue():
            if self._checkpoint is not None:
                await self._checkpoint
            await self._check()

    async def _check(self) -> None:
        problem = (await self._in_thread(self._log.checkpoints.run)).exception()
        if problem is not None:
            log.warning("checkpoint", problem=str(problem))
        self._checkpoint = None

    async def _in_thread(self, task: Callable[[], Any]) -> "asyncio.Future[Any]":
        """Do something in a thread of the committer's own; what came of it, good or bad."""
        done = asyncio.get_running_loop().run_in_executor(self._own, task)
        await asyncio.wait((done,))
        return done


def _prepared(waiting: Waiting) -> Batch | RankspaceError:
    try:
        return waiting.prepare()
    except RankspaceError as error:
        return error


def _answer(future: asyncio.Future[Appended], outcome: Appended | BaseException) -> None:
    if type(outcome) is RankspaceError:
        log.error("bug", exc_info=outcome)
    if future.done():  # who asked has gone
        return
    if isinstance(outcome, Appended):
        future.set_result(outcome)
    else:
        future.set_exception(outcome)

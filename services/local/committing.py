"""Group commit: appends that wait at the same time share one transaction and one fsync.

    append → hashed, laid out ┐
    append → hashed, laid out ┼→ a group → media written → synced → rows committed
    append → …                ┘

Samples are hashed and laid out on the event loop, a little at a time, for many threads would only
wait for each other; only who has large ones goes into a thread for it. One thread then does all of
a group, its media in one write and one sync; what comes meanwhile goes into the group after it.
Where writing takes long (a bucket), it is done ahead, in many threads. Appends
to a stream commit in the order of their calls. The queue is bounded in appends and in bytes: beyond
it a call waits for room, and after a while it is Overloaded. SQLite's log comes into its database
beside the commits, which wait for that only when it has grown long.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import suppress
from functools import partial
from typing import Any, Protocol

import structlog

from rankspace.errors import Overloaded, RankspaceError
from rankspace.media.sample import Sample
from rankspace.store.appends import unused
from rankspace.store.checkpoints import Pages
from rankspace.store.content import media_bytes
from rankspace.store.drafts import Batch, Draft, Laid
from rankspace.store.entries import Appended, Durability, Outcome, Rejected
from services.desk import Desk
from services.local.config import EngineConfig
from services.local.queueing import Queue, Waiting
from services.telemetry import tracing
from services.telemetry.metrics import COMMIT_GROUP, COMMIT_SECONDS, SETTLE_SECONDS

Samples = Sequence[Sample | Rejected]
Run = Callable[[Callable[[], Any]], Awaitable[Any]]
"""Does something in a thread."""

HASHED_AT_ONCE = 1 << 20
"""Bytes of a sample that are hashed on the event loop: under a millisecond's work."""

log = structlog.get_logger()


class Checkpointing(Protocol):
    """What the committer asks of the database's own log."""

    def look(self) -> Pages:
        """How long the log is now."""

    def due(self, found: Pages) -> bool:
        """Whether a checkpoint beside the commits is worth its while."""

    def overdue(self, found: Pages) -> bool:
        """Whether commits should wait for one."""

    def run(self) -> None:
        """Do one."""


class Appending(Protocol):
    """What the committer asks of the log."""

    @property
    def writes_ahead(self) -> bool:
        """Whether large media are best written before it is their turn to be committed."""

    @property
    def checkpoints(self) -> Checkpointing:
        """Of the database that it writes to."""

    def draft(
        self,
        stream: str,
        offset: int | None,
        samples: Samples,
        epoch: int = 0,
        durability: Durability = "synced",
    ) -> Draft:
        """What becomes a batch, step by step: samples are hashed and laid out."""

    def write(self, batches: Sequence[Batch]) -> Sequence[Batch]:
        """Write the large media of batches."""

    def settle(self, batches: Sequence[Batch]) -> None:
        """Bring the media of batches to disk, ahead of their commit."""

    def commit(self, batches: Sequence[Batch]) -> Sequence[Outcome]:
        """Append batches with one commit."""

    def discard(self, batches: Sequence[Batch]) -> None:
        """Remove the media of batches that no row names."""


class Committer:
    """Feeds the log of one store. `begin` first; after `close` nothing is taken.

    `run` does what may take long: hashing large media, writing them ahead, and removing them.
    Commits have a thread of their own.
    """

    def __init__(self, appending: Appending, run: Run, config: EngineConfig) -> None:
        self._log = appending
        self._run = run
        self._queue = Queue(config)
        self._desk = Desk()
        self._closed = False
        self._own = ThreadPoolExecutor(2, "commit")  # to commit, to checkpoint
        self._task: asyncio.Task[None] | None = None
        self._under_way: Sequence[Waiting] = ()
        self._checkpoint: Future[None] | None = None
        self._removing: set[asyncio.Future[None]] = set()

    def begin(self) -> None:
        """Start committing."""
        self._task = asyncio.create_task(self._commit_all())

    async def close(self) -> None:
        """Take nothing more, commit what waits, and end."""
        self._closed = True
        await self._queue.emptied()
        if self._task is not None:
            await self._task
        if self._removing:
            await asyncio.wait(self._removing)
        await asyncio.to_thread(self._own.shutdown)

    async def append(
        self,
        stream: str,
        offset: int | None,
        samples: Samples | Laid,
        epoch: int,
        durability: Durability,
    ) -> Appended:
        """Append in the next commit; see `Log.append`."""
        size, offsets, largest = _measured(samples)
        await self._queue.enter(size)
        if self._closed:
            raise Overloaded("the server is about to stop", retry_after_s=1.0)
        answer = asyncio.get_running_loop().create_future()
        waiting = Waiting(stream, size, offsets, answer)
        self._queue.add(waiting)
        ready: Batch | None = None
        try:
            if isinstance(samples, Laid):
                batch = samples.batch((stream, offset, epoch, durability))
            else:
                draft = self._log.draft(stream, offset, samples, epoch, durability)
                batch = await self._drafted(draft, largest)
            ready = await self._ahead(batch)
        finally:
            self._queue.ready(waiting, ready)
        return await answer

    async def _drafted(self, draft: Draft, largest: int) -> Batch:
        if largest > HASHED_AT_ONCE:
            return await self._run(draft.batch)
        await self._desk.through(draft)
        return draft.batch()

    async def _ahead(self, batch: Batch) -> Batch:
        """The batch with its large media written, if that is best done before its turn."""
        if not (batch.pieces and self._log.writes_ahead):
            return batch
        task = asyncio.ensure_future(self._run(partial(self._log.write, [batch])))
        try:
            (written,) = await asyncio.shield(task)
        except asyncio.CancelledError:
            task.add_done_callback(self._discard)
            raise
        return written

    def _discard(self, task: "asyncio.Future[list[Batch]]") -> None:
        """Nobody waits any more for what was written."""
        if not task.cancelled() and task.exception() is None:
            self._remove(task.result())

    def _remove(self, batches: Sequence[Batch]) -> None:
        """Have media removed that no row names, when there is time."""
        removing = asyncio.ensure_future(self._run(partial(self._log.discard, batches)))
        self._removing.add(removing)
        removing.add_done_callback(self._removing.discard)

    async def _commit_all(self) -> None:
        """Commit group after group, until the queue has ended."""
        loop = asyncio.get_running_loop()
        while True:
            work = loop.run_in_executor(self._own, self._commit_groups, loop)
            await asyncio.wait((work,))
            bug = work.exception()
            if bug is None:
                return
            self._tell(self._under_way, [], [bug] * len(self._under_way))

    def _commit_groups(self, loop: asyncio.AbstractEventLoop) -> None:
        """The same in a thread, which takes a group as soon as it is done with the one before."""
        while group := self._queue.group():
            self._under_way = group
            self._wait_for_checkpoint()
            rest, outcomes = self._stored(group)
            loop.call_soon_threadsafe(self._tell, group, rest, outcomes)

    def _tell(
        self,
        group: Sequence[Waiting],
        rest: Sequence[Batch],
        outcomes: Sequence[Outcome | BaseException],
    ) -> None:
        """Answer who waits for a group, and have media removed that no row names."""
        COMMIT_GROUP.see(len(group))
        for waiting, outcome in zip(group, outcomes, strict=True):
            self._queue.leave(waiting)
            tracing.note(waiting.span, group=len(group))
            _answer(waiting.answer, outcome)
        if rest:
            self._remove(rest)

    def _stored(self, group: Sequence[Waiting]) -> tuple[list[Batch], list[Outcome]]:
        """What became of each append, and batches whose media no row names."""
        written = self._written(group)
        batches = [batch for batch in written if isinstance(batch, Batch)]
        if any(batch.region for batch in batches):
            began = time.monotonic()
            with suppress(RankspaceError):  # nothing is committed then, and that says why
                self._log.settle(batches)
            SETTLE_SECONDS.see(time.monotonic() - began)
        began = time.monotonic()
        done = self._log.commit(batches)
        COMMIT_SECONDS.see(time.monotonic() - began)
        placed = iter(done)
        outcomes = [next(placed) if isinstance(one, Batch) else one for one in written]
        return unused(batches, done), outcomes

    def _written(self, group: Sequence[Waiting]) -> list[Batch | RankspaceError]:
        """The batches with their large media written, or why they are not."""
        try:
            return [*self._log.write([one.batch for one in group if one.batch is not None])]
        except RankspaceError as error:
            if len(group) == 1:
                return [error]
            return [one for waiting in group for one in self._written([waiting])]

    def _wait_for_checkpoint(self) -> None:
        """Begin a checkpoint where one is due; where it is overdue wait for it, and for the rest.

        No commit is under way, so there is an end to what is to be brought into the database.
        """
        checkpoints = self._log.checkpoints
        found = checkpoints.look()
        if (self._checkpoint is None or self._checkpoint.done()) and checkpoints.due(found):
            self._checkpoint = self._check()
        if checkpoints.overdue(found):
            if self._checkpoint is not None:
                wait((self._checkpoint,))
            wait((self._check(),))

    def _check(self) -> Future[None]:
        checking = self._own.submit(self._log.checkpoints.run)
        checking.add_done_callback(_warn)
        return checking


def _warn(checkpoint: Future[None]) -> None:
    problem = checkpoint.exception()
    if problem is not None:
        log.warning("checkpoint", problem=str(problem))


def _measured(samples: Samples | Laid) -> tuple[int, int, int]:
    """Media bytes, offsets, and media bytes of the largest sample that is to be hashed."""
    if isinstance(samples, Laid):
        return samples.size, samples.offsets, 0
    sizes = [media_bytes(one) if isinstance(one, Sample) else 0 for one in samples]
    return sum(sizes), len(sizes), max(sizes, default=0)


def _answer(future: asyncio.Future[Appended], outcome: Appended | BaseException) -> None:
    if type(outcome) is RankspaceError:
        log.error("bug", exc_info=outcome)
    if future.done():  # who asked has gone
        return
    if isinstance(outcome, Appended):
        future.set_result(outcome)
    else:
        future.set_exception(outcome)

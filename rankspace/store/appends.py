"""Appends, from samples to what became of them; the part of the log that is to be fast.

    draft        samples are hashed and laid out, a sample a step            anywhere
    write        the large media of many batches are written                 any thread
    settle       they come to disk                                           one thread
    commit       their rows are compared, inserted and committed together    one thread
    discard      media that no row names go                                  whenever

`write` and `settle` may run for the next batches while those before them are committed.
`append_all` does what is left to do after `draft`, and `append` all of it.
"""

from collections.abc import Iterable, Sequence
from contextlib import suppress

from sqlalchemy.exc import DBAPIError

from rankspace.errors import Overloaded, RankspaceError, Unreachable
from rankspace.media.sample import Sample
from rankspace.store.append import compare_and_append
from rankspace.store.blobs import Blobs
from rankspace.store.checkpoints import Checkpoints
from rankspace.store.database import Database
from rankspace.store.drafts import Batch, Draft, Laid
from rankspace.store.entries import Appended, Durability, Outcome, Rejected


class Appends:
    """Appends to all streams of a store; safe to use from any number of threads and processes."""

    def __init__(self, database: Database, blobs: Blobs, inline_bytes_max: int) -> None:
        self._database = database
        self._blobs = blobs
        self.inline_bytes_max = inline_bytes_max
        """Batches with no more media than this need no region."""

        self.writes_ahead = blobs.slow
        """Whether large media are best written before it is their turn to be committed."""

        self.checkpoints = Checkpoints(database)

    @property
    def stopped(self) -> bool:
        """Whether a sync has failed, so that nothing is stored until the store is opened anew."""
        return self._database.stopped

    def append(
        self,
        stream: str,
        offset: int | None,
        samples: Sequence[Sample | Rejected] | Laid,
        epoch: int = 0,
        durability: Durability = "synced",
    ) -> Appended:
        """Append samples at an offset, or at the end (None: then a retry appends twice)."""
        if isinstance(samples, Laid):
            batch = samples.batch((stream, offset, epoch, durability))
        else:
            batch = self.draft(stream, offset, samples, epoch, durability).batch()
        (outcome,) = self.append_all([batch])
        if isinstance(outcome, RankspaceError):
            raise outcome
        return outcome

    def draft(
        self,
        stream: str,
        offset: int | None,
        samples: Sequence[Sample | Rejected],
        epoch: int = 0,
        durability: Durability = "synced",
    ) -> Draft:
        """What becomes a batch for `append_all`, step by step."""
        return Draft(samples, self.inline_bytes_max, (stream, offset, epoch, durability))

    def write(self, batches: Sequence[Batch]) -> list[Batch]:
        """Write the large media of batches; before `settle` a crash may lose them."""
        large = [batch for batch in batches if batch.pieces]
        regions = iter(self._blobs.write_all([batch.pieces for batch in large]) if large else ())
        return [batch.written(next(regions)) if batch.pieces else batch for batch in batches]

    def settle(self, batches: Iterable[Batch]) -> None:
        """Bring the media of batches to disk, ahead of their commit.

        Where that fails nothing more is stored: of what was written before, some may be lost.
        """
        self._database.refuse_if_stopped()
        try:
            self._blobs.settle([batch.region for batch in batches if batch.region])
        except RankspaceError:
            self._database.stop()
            raise

    def append_all(self, batches: Sequence[Batch]) -> Sequence[Outcome]:
        """Append batches in their order with one commit: where each went, or why it did not."""
        batches = self.write(batches)
        outcomes = self.commit(batches)
        self.discard(unused(batches, outcomes))
        return outcomes

    def commit(self, batches: Sequence[Batch]) -> Sequence[Outcome]:
        """The same, but media that are `unused` now are left where they are.

        All are synced if one of them is to be. What the database refuses as a whole is tried batch
        by batch, so that none suffers for another.
        """
        synced = any(batch.durability == "synced" for batch in batches)
        try:
            self.settle(batches)
            with self._database.write(synced) as connection:
                outcomes = compare_and_append(connection, batches)
        except (RankspaceError, DBAPIError) as error:
            if len(batches) > 1 and not isinstance(error, Overloaded | Unreachable):
                return [outcome for batch in batches for outcome in self.commit([batch])]
            outcomes = [_as_leaf(error)] * len(batches)
        return [_as_synced(outcome) if synced else outcome for outcome in outcomes]

    def discard(self, batches: Iterable[Batch]) -> None:
        """Remove the media of batches that no row names; what cannot be now is left to a sweep."""
        regions = [batch.region for batch in batches if batch.region]
        if regions:
            with suppress(RankspaceError):
                self._blobs.free(regions)


def unused(batches: Sequence[Batch], outcomes: Sequence[Outcome]) -> list[Batch]:
    """Batches whose media no row names."""
    pairs = zip(batches, outcomes, strict=True)
    return [batch for batch, outcome in pairs if batch.region and not _kept(outcome)]


def _as_leaf(error: RankspaceError | DBAPIError) -> RankspaceError:
    """A bug becomes the plain base class, with what happened as its cause, so that it stays one."""
    if isinstance(error, RankspaceError):
        return error
    bug = RankspaceError("the store met a fault of its own; the server's log has the details")
    bug.__cause__ = error
    return bug


def _kept(outcome: Outcome) -> bool:
    """Whether rows name the media of a batch, or may: nobody knows what became of the commit."""
    if isinstance(outcome, Appended):
        return not outcome.duplicate
    return isinstance(outcome, Unreachable)


def _as_synced(outcome: Outcome) -> Outcome:
    if isinstance(outcome, Appended) and outcome.durability == "written":
        return Appended(outcome.first, outcome.next, outcome.duplicate)
    return outcome

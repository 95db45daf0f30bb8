"""Media that grow: pieces on disk, until a sample names the whole.

A chunk says its position. It is stored if the medium has come to there; bytes that are there
already must be the same; a gap is refused with the position that is next. So a piece may be sent
again as often as one likes, by any connection to any server, and how a medium was cut leaves no
trace.

A medium that a sample has named stays for `growing_taken_s`, for the same batch may be sent again;
one that nobody goes on with stays for `growing_age_s`. Then `collect` removes it.
"""

import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, Row, and_, delete, or_, select, update

from rankspace.errors import LimitExceeded, RankspaceError
from rankspace.store import pieces_steps
from rankspace.store.append import fence, stream_row
from rankspace.store.config import StoreConfig
from rankspace.store.database import Database, now_us
from rankspace.store.growing import Abandon, Begin, Chunk, End, Grown, Medium, Step
from rankspace.store.marks import touch
from rankspace.store.schema import growing

_COLLECT_EVERY_S = 10.0
_COLLECTED = 16  # media removed in one transaction


class Pieces:
    """All growing media of a store; safe to use from any number of threads and processes."""

    def __init__(self, database: Database, config: StoreConfig) -> None:
        self._database = database
        self._config = config
        self._collect_at = 0.0

    def grow(
        self, stream: str, steps: Sequence[Step], epoch: int = 0, synced: bool = True
    ) -> list[Grown | RankspaceError]:
        """Take steps in their order; one that is refused harms no other. On disk on return."""
        if time.monotonic() >= self._collect_at:
            self._collect_at = time.monotonic() + _COLLECT_EVERY_S
            self.collect()
        answers: list[Grown | RankspaceError] = []
        for run in _runs(steps):
            # A long medium is hashed before its stream is locked.
            hashes = {step.media_id: self._hash(stream, step) for step in run if _ends(step)}
            with self._database.write(synced) as connection:
                row = stream_row(connection, stream, lock=True)
                fence(connection, row, epoch)
                grown = [self._step(connection, row, step, hashes) for step in run]
                if synced and any(isinstance(one, Grown) and one.duplicate for one in grown):
                    touch(connection)  # it may have been written before, and not synced
                answers += grown
        return answers

    def open(self, stream: str) -> tuple[Grown, ...]:
        """Media that no sample has named yet, the oldest first."""
        with self._database.read() as connection:
            row = stream_row(connection, stream)
            where = growing.c.stream_id == row.id, growing.c.taken.is_(False)
            query = select(growing).where(*where).order_by(growing.c.begun_us, growing.c.media_id)
            return tuple(pieces_steps.grown(found) for found in connection.execute(query))

    def whole(self, stream: str, media_ids: Sequence[str], bytes_max: int) -> dict[str, Medium]:
        """Media that have ended, together at most so many bytes, each checked against its hash."""
        with self._database.read() as connection:
            row = stream_row(connection, stream)
            found = {name: pieces_steps.named(connection, row, name) for name in media_ids}
            if (size := sum(one.position for one in found.values())) > bytes_max:
                raise LimitExceeded(
                    f"the growing media named have {size} bytes, a batch may name {bytes_max}; "
                    "name them in several batches",
                    "batch.samples",
                )
            return {name: pieces_steps.whole(connection, one) for name, one in found.items()}

    def take(self, stream: str, media_ids: Sequence[str]) -> None:
        """Samples have named these: they are kept for a repetition only."""
        with self._database.write(synced=False) as connection:
            row = stream_row(connection, stream)
            where = growing.c.stream_id == row.id, growing.c.media_id.in_(media_ids)
            values = {"taken": True, "touched_us": now_us()}
            connection.execute(update(growing).where(*where).values(**values))

    def collect(self) -> int:
        """Remove what is older than the config says; return how many media."""
        old = now_us() - int(self._config.growing_age_s * 1e6)
        taken = now_us() - int(self._config.growing_taken_s * 1e6)
        where = or_(
            growing.c.touched_us < old,
            and_(growing.c.taken.is_(True), growing.c.touched_us < taken),
        )
        query = select(growing.c.stream_id, growing.c.media_id).where(where).limit(_COLLECTED)
        removed = 0
        while True:
            with self._database.read() as connection:
                keys = connection.execute(query).all()
            if not keys:
                return removed
            with self._database.write(synced=False) as connection:
                for stream_id, media_id in keys:
                    key = growing.c.stream_id == stream_id, growing.c.media_id == media_id
                    removed += connection.execute(delete(growing).where(*key, where)).rowcount

    def _hash(self, stream: str, step: Step) -> bytes:
        with self._database.read() as connection:
            row = stream_row(connection, stream)
            return pieces_steps.hashed(connection, row, step.media_id)

    def _step(
        self, connection: Connection, row: Row[Any], step: Step, hashes: Mapping[str, bytes]
    ) -> Grown | RankspaceError:
        try:
            match step:
                case Begin():
                    return pieces_steps.begin(connection, row, step, self._config.growing_media_max)
                case Chunk():
                    return pieces_steps.extend(connection, row, step)
                case End():
                    return pieces_steps.end(connection, row, step, hashes[step.media_id])
                case Abandon():
                    return pieces_steps.abandon(connection, row, step)
        except RankspaceError as error:
            return error


def _runs(steps: Sequence[Step]) -> Iterator[list[Step]]:
    """Steps that go into one transaction; the end of a medium goes into one of its own."""
    run: list[Step] = []
    for step in steps:
        if run and (_ends(step) or _ends(run[-1])):
            yield run
            run = []
        run.append(step)
    if run:
        yield run


def _ends(step: Step) -> bool:
    return isinstance(step, End)

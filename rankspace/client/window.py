"""What is on its way to a stream: the state of an append, without any I/O.

Batches are numbered by offsets, sent as far as the server's credits go, and kept until they are
answered. When a connection breaks, every batch without an answer is sent again on the next one, at
the offset it had: the server stores what it lacks and answers duplicates as it did, or would have
done, before. So nothing is lost, nothing is stored twice and no sample's error is missed, wherever
the cut falls (tests/client/test_window.py).

    add ──▶ pending ──take──▶ pending and sent ──answered──▶ gone
                    ◀──────────connected──────
"""

from collections import deque
from dataclasses import dataclass
from typing import Generic, TypeVar

from rankspace.errors import Corrupt, OffsetGap

Message = TypeVar("Message")


@dataclass(frozen=True, slots=True)
class Batch(Generic[Message]):
    """Samples that go together."""

    offset: int
    """Where the first of them must land; of a piece, the sample that comes next."""

    samples: int
    """How many there are; none in a piece of a growing medium."""

    bytes: int
    """What they count against the credits."""

    message: Message


class Window(Generic[Message]):
    """The batches of one append that have no answer yet."""

    def __init__(self, offset: int | None = None) -> None:
        self._next = offset
        self._pending: deque[Batch[Message]] = deque()
        self._sent = 0
        self._sent_bytes = 0
        self._credits = (0, 0)
        self.answers = 0
        """Batches answered so far; grows with every step forward."""

    @property
    def in_flight(self) -> int:
        """Batches sent and not answered."""
        return self._sent

    @property
    def empty(self) -> bool:
        """Whether all that was added has been answered."""
        return not self._pending

    @property
    def wants_more(self) -> bool:
        """Whether a batch that is added now could be sent at once."""
        batches, size = self._credits
        return self._sent == len(self._pending) < batches and self._sent_bytes < size

    def connected(self, next_offset: int, batches: int, size: int) -> None:
        """Begin on a new connection, where the server's stream ends at `next_offset`."""
        first = self._pending[0].offset if self._pending else self._next
        if first is None:
            first = self._next = next_offset
        if next_offset < first:
            raise OffsetGap(
                f"the stream ends at offset {next_offset}, before {first}; start at its end, "
                "or look for what the server has lost",
                "offset",
            )
        self._sent = self._sent_bytes = 0
        self.credited(batches, size)

    def credited(self, batches: int, size: int) -> None:
        """From now on so much may be in flight."""
        self._credits = (max(batches, 1), max(size, 1))

    def add(self, samples: int, size: int, message: Message) -> None:
        """Take the next samples, or (none) the next piece of a medium."""
        if self._next is None:
            raise RuntimeError("connected() comes first: it tells where the stream ends")
        self._pending.append(Batch(self._next, samples, size, message))
        self._next += samples

    def take(self) -> Batch[Message] | None:
        """The batch to send now; None until credits or samples come."""
        if self._sent == len(self._pending):
            return None
        batch = self._pending[self._sent]
        batches, size = self._credits
        if self._sent and (self._sent >= batches or self._sent_bytes + batch.bytes > size):
            return None
        self._sent += 1
        self._sent_bytes += batch.bytes
        return batch

    def answered(self, offset: int) -> Batch[Message]:
        """The oldest batch has its answer, which says where it lies."""
        if not self._sent or not self._pending[0].samples or self._pending[0].offset != offset:
            raise Corrupt(f"the server answers for offset {offset}, which is not the next one")
        return self._gone()

    def kept(self) -> Batch[Message]:
        """The oldest message is a piece and has its answer."""
        if not self._sent or self._pending[0].samples:
            raise Corrupt("the server answers for a piece where none is the next one")
        return self._gone()

    def _gone(self) -> Batch[Message]:
        batch = self._pending.popleft()
        self._sent -= 1
        self._sent_bytes -= batch.bytes
        self.answers += 1
        return batch

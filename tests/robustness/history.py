"""What clients did and were told: one operation a line of JSON.

Times are nanoseconds of the machine's monotonic clock, which all processes share. An operation took
effect at some moment between its two times, or, when its outcome is unknown, at any moment after
the first one, or never.
"""

import json
import time
from collections import Counter, deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal, TextIO

Kind = Literal[
    "append", "read", "look", "claim", "finalize", "piece", "media", "rejects", "retry", "power"
]  # fmt: skip
Outcome = Literal["ok", "refused", "unknown"]


@dataclass(frozen=True, slots=True)
class Operation:
    """One thing that one client asked for; fields that its kind does not use stay as they are."""

    client: str
    kind: Kind
    stream: str
    invoked: int
    returned: int
    """When the answer came; for an unknown outcome, when the client gave up."""

    outcome: Outcome = "ok"
    reason: str = ""
    """Why it was refused, or what ended the call."""

    offset: int | None = None
    """append: where it should land; read: where it should begin."""

    keys: tuple[str, ...] = ()
    """append: the samples sent; read: those that were seen, the first of them at `offset`."""

    epoch: int = 0
    """append: the writer's; claim: the one that was given."""

    asked: int = 0
    """claim: the epoch asked for; 0: a new one."""

    next: int = -1
    """The stream's next offset as the answer told it; -1: it did not."""

    first: int = -1
    """append: where the answer said that it landed."""

    duplicate: bool = False
    limit: int = 0
    whole: bool = False
    """read: the server said that this is all there is."""

    finalized: bool = False
    digest: str = ""
    durability: str = ""
    """append: what the answer promised."""

    media: tuple[str, ...] = ()
    """append: the growing media that it names; piece: its own; media: those that are open."""

    step: str = ""
    """piece: begin, chunk, other (a chunk of other bytes than were sent before), end or abandon."""

    position: int = -1
    """piece: where its bytes begin in their medium."""

    size: int = 0
    """piece: how many they are."""

    told: tuple[int, ...] = ()
    """piece: how far its medium has come by the answer; media: how far each has."""

    refused: tuple[int, ...] = ()
    """append: offsets that the answer called refused; rejects: those that are kept."""

    expired: tuple[int, ...] = ()
    """read: offsets of which only a tombstone is left by retention."""

    first_kept: int = -1
    kept_bytes: int = -1
    """look: what the stream says of its retention."""


def now() -> int:
    """The clock of histories."""
    return time.monotonic_ns()


@dataclass(frozen=True, slots=True)
class Past:
    """A batch that was sent: to which stream, with which epoch, to which offset."""

    stream: str
    epoch: int
    offset: int
    names: tuple[str, ...]


@dataclass
class Recorder:
    """Keeps a history in memory and, line by line, in a file."""

    path: Path
    operations: list[Operation] = field(default_factory=list)
    stored: int = 0
    """Appends acknowledged so far."""

    sent: deque[Past] = field(default_factory=lambda: deque(maxlen=300))
    """Batches that may come once more."""

    _file: TextIO | None = None

    def remember(self, stream: str, epoch: int, offset: int, names: Sequence[str]) -> None:
        """A batch with an offset is on its way."""
        self.sent.append(Past(stream, epoch, offset, tuple(names)))

    def add(self, operation: Operation) -> None:
        """Keep one more operation."""
        if self._file is None:
            self._file = self.path.open("a", encoding="utf-8")
        self.operations.append(operation)
        self.stored += operation.kind == "append" and operation.outcome == "ok"
        self._file.write(json.dumps(asdict(operation)) + "\n")

    def close(self) -> None:
        """Everything is in the file when this returns."""
        if self._file is not None:
            self._file.close()
            self._file = None

    def counts(self) -> Counter[tuple[str, str]]:
        """How many operations of each kind had which outcome."""
        return Counter((one.kind, one.reason or one.outcome) for one in self.operations)


def load(path: Path) -> Iterator[Operation]:
    """The history in a file."""
    with path.open(encoding="utf-8") as lines:
        for line in lines:
            values = json.loads(line)
            yield Operation(**{name: _as_it_was(value) for name, value in values.items()})


def _as_it_was(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


def by_stream(history: Iterable[Operation]) -> dict[str, list[Operation]]:
    """The operations on each stream, by the time they began."""
    found: dict[str, list[Operation]] = {}
    for operation in sorted(history, key=lambda one: one.invoked):
        found.setdefault(operation.stream, []).append(operation)
    return found

"""What clients did and were told: one operation a line of JSON.

Times are nanoseconds of the machine's monotonic clock, which all processes share. An operation took
effect at some moment between its two times, or, when its outcome is unknown, at any moment after
the first one, or never.
"""

import json
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Literal, TextIO

Kind = Literal["append", "read", "look", "claim", "finalize"]
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


def now() -> int:
    """The clock of histories."""
    return time.monotonic_ns()


@dataclass
class Recorder:
    """Keeps a history in memory and, line by line, in a file."""

    path: Path
    operations: list[Operation] = field(default_factory=list)
    stored: int = 0
    """Appends acknowledged so far."""

    _file: TextIO | None = None

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
            yield Operation(**values | {"keys": tuple(values["keys"])})


def by_stream(history: Iterable[Operation]) -> dict[str, list[Operation]]:
    """The operations on each stream, by the time they began."""
    found: dict[str, list[Operation]] = {}
    for operation in sorted(history, key=lambda one: one.invoked):
        found.setdefault(operation.stream, []).append(operation)
    return found

"""What the operations on one stream prove of it: its log, how long it was when, who had it.

The last read that came to the end is taken for the log: everything else is held against it. Every
length that was told is a fact of a moment between two times, so a stream was at least as long
after it (`least`), and no longer than the end before (`first_seen`).
"""

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterable, Sequence
from functools import cached_property
from typing import Any, TypeVar, cast

from tests.robustness.contents import digests
from tests.robustness.history import Operation

NEVER = 1 << 62
Found = TypeVar("Found")


class Evidence:
    """All that is known of one stream."""

    def __init__(self, operations: Sequence[Operation]) -> None:
        self.operations = operations
        self._found: dict[Any, Any] = {}
        self.appends = [one for one in operations if one.kind == "append"]
        self.reads = [one for one in operations if one.kind == "read"]
        self.claims = [one for one in operations if one.kind == "claim"]
        self._lengths = rising((one.returned, shown(one)) for one in operations)
        claims = ((one.returned, one.epoch) for one in self.claims if one.outcome == "ok")
        self._epochs = rising(claims)

    def cached(self, find: Callable[["Evidence"], Found]) -> Found:
        """What this finds, which is looked for once."""
        if find not in self._found:
            self._found[find] = find(self)
        return cast(Found, self._found[find])

    @property
    def ends_with_a_read(self) -> bool:
        """Whether the last read came to the end, from the beginning."""
        last = max(self.reads, key=lambda one: one.invoked, default=None)
        return last is not None and last.whole and last.offset == 0 and not last.limit

    @cached_property
    def log(self) -> tuple[str, ...]:
        """What the stream held in the end."""
        whole = [one for one in self.reads if one.whole and one.offset == 0 and not one.limit]
        return max(whole, key=lambda one: one.invoked).keys if whole else ()

    def least(self, time: int) -> int:
        """How long the stream was at least, for all who asked after this time."""
        return at_time(self._lengths, time)

    def newest(self, time: int) -> int:
        """The highest epoch that was given before this time."""
        return at_time(self._epochs, time)

    def first_seen(self, length: int) -> int:
        """When the stream was first known to be as long."""
        at = bisect_left(self._lengths, length, key=lambda pair: pair[1])
        return self._lengths[at][0] if at < len(self._lengths) else NEVER

    def digest(self, length: int) -> str:
        """The digest of so many samples."""
        return self._digests[min(length, len(self.log))]

    @cached_property
    def _digests(self) -> list[str]:
        return [bytes(32).hex(), *digests(self.log)]

    @cached_property
    def closed(self) -> int:
        """When the stream was first known to be finalized."""
        said = (one.returned for one in self.operations if one.finalized and one.outcome == "ok")
        return min(said, default=NEVER)

    @cached_property
    def edges(self) -> list[int]:
        """Lengths that the stream had at some moment: no batch spans one."""
        told = {0, len(self.log)} | {one.next for one in self.operations if exact(one)}
        return sorted(told)

    def before(self, edge: int) -> int:
        """The last edge before this length."""
        return self.edges[bisect_left(self.edges, edge) - 1]


def shown(operation: Operation) -> int:
    """How long the stream was at least when this was answered."""
    read = len(operation.keys) + (operation.offset or 0) if operation.keys else 0
    return max(operation.next, read if operation.kind == "read" else 0)


def exact(operation: Operation) -> bool:
    """Whether `next` is the length that the stream had, rather than a part of it."""
    if operation.kind == "append":
        return operation.next >= 0 and not operation.duplicate
    whole = operation.whole and not operation.limit and bool(operation.keys)
    return operation.next >= 0 and (whole or operation.kind != "read")


def rising(facts: Iterable[tuple[int, int]]) -> list[tuple[int, int]]:
    """Facts in the order of time, only those that are higher than all before."""
    kept: list[tuple[int, int]] = []
    for time, value in sorted(facts):
        if value > (kept[-1][1] if kept else 0):
            kept.append((time, value))
    return kept


def at_time(facts: Sequence[tuple[int, int]], time: int) -> int:
    """The highest value of rising facts that was known before this time."""
    at = bisect_right(facts, time, key=lambda pair: pair[0])
    return facts[at - 1][1] if at else 0

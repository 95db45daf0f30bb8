"""Whether a stream keeps its contract that is acknowledged before it is on the disk.

Twins write it, so what lies at each offset is known beforehand. Only a power cut may take something
away, and only from its end: what was acknowledged as synced stays, and so does everything that was
there before a synced append began which was acknowledged, for both go through one log.
"""

from bisect import bisect_left
from collections.abc import Iterator, Sequence
from itertools import count, islice

from tests.robustness.contents import digests, key_of, twin_name
from tests.robustness.evidence import at_time, exact, rising, shown
from tests.robustness.history import Operation

LOOSE = "loose"


class Lives:
    """The times between power cuts, and what each must find of the stream."""

    def __init__(
        self, operations: Sequence[Operation], cuts: Sequence[Operation], synced: Sequence[int]
    ) -> None:
        """`synced` are the times at which synced appends began that were acknowledged, rising."""
        self._cuts, self._synced = cuts, synced
        lived = [(self.of(one), one) for one in operations]
        self._facts = [
            rising((one.returned, shown(one)) for life, one in lived if life == number)
            for number in range(len(cuts) + 1)
        ]
        self._found = [0]
        for number, cut in enumerate(cuts):
            told = [one for one in operations if one.outcome == "ok" and one.durability == "synced"]
            sure = [one.first + len(one.keys) for one in told if one.invoked < cut.invoked]
            sure += [length for time, length in self._facts[number] if self._settled(time, cut)]
            self._found.append(max([self._found[-1], *sure]))

    def of(self, one: Operation) -> int | None:
        """In which life an operation was; None: a cut came in between."""
        if any(one.invoked < cut.returned and cut.invoked < one.returned for cut in self._cuts):
            return None
        return sum(cut.returned <= one.invoked for cut in self._cuts)

    def least(self, one: Operation) -> int:
        """How long the stream was at least when this was asked."""
        life = self.of(one)
        return (
            0 if life is None else max(at_time(self._facts[life], one.invoked), self._found[life])
        )

    def _settled(self, time: int, cut: Operation) -> bool:
        """Whether a synced append came between, and was acknowledged."""
        at = bisect_left(self._synced, time)
        return at < len(self._synced) and self._synced[at] < cut.invoked


def written(
    operations: Sequence[Operation], cuts: Sequence[Operation], synced: Sequence[int]
) -> Iterator[str]:
    """What is wrong with the stream's history."""
    lives = Lives(operations, cuts, synced)
    longest = max((shown(one) for one in operations), default=0)
    log = tuple(islice((key_of(twin_name(LOOSE, at)) for at in count()), longest + 100))
    chain = [bytes(32).hex(), *digests(log)]
    for one in operations:
        yield from _placed(one, log)
        if one.digest and one.digest != chain[one.next]:
            yield f"the digest is not that of the first {one.next} samples"
        least = min(lives.least(one), (one.offset or 0) + one.limit if one.limit else longest)
        sure = (one.next >= 0 and exact(one)) or one.whole
        if sure and max(shown(one), (one.offset or 0) if one.kind == "read" else 0) < least:
            yield f"told of {shown(one)} offsets when there were {least}, by {one.kind}"


def _placed(one: Operation, log: tuple[str, ...]) -> Iterator[str]:
    """What was acknowledged and read is what twins sent, where they sent it."""
    if one.kind == "read" and log[one.offset or 0 :][: len(one.keys)] != one.keys:
        yield f"read what nobody sent to [{one.offset}, {shown(one)})"
    if one.kind != "append" or one.outcome != "ok":
        return
    stop = one.first + len(one.keys)
    if one.first != one.offset or log[one.first : stop] != one.keys:
        yield f"asked for {one.offset}, acknowledged at {one.first}"
    if not one.duplicate and one.next != stop:
        yield f"the next offset after [{one.first}, {stop}) is not {one.next}"

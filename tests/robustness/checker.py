"""Whether a history keeps the contract of streams (docs/guarantees.md): what it breaks, in words.

Every offset that an answer named fixes the order, so no search is needed (unlike for a register,
where checking is NP-complete): the last whole read is the log, and each law is one pass.

    placed     acknowledged appends lie at exactly the offsets that were said, once
    explained  the log is whole batches that somebody sent, none of them refused, fenced or late
    seen       reads show the log: dense, in order, the content that was sent
    recent     what was acknowledged or seen is seen by all who ask later
    fenced     after a claim was answered, writers of older epochs are acknowledged nothing
    closed     a finalized stream neither grows nor says that it is open
    refusals   a refusal has its reason in the history
    digest     the digest is the one of the content

Media that grow, what a stream keeps and what is acknowledged before it is on the disk have laws of
their own: `laws_growing.py`, `laws_keeping.py`, `laws_written.py`.
"""

from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator, Sequence

from tests.robustness.calls import ERA
from tests.robustness.evidence import Evidence, exact, shown
from tests.robustness.history import Operation, by_stream
from tests.robustness.laws_growing import grown, other, there, whole
from tests.robustness.laws_keeping import rejected, retained
from tests.robustness.laws_written import LOOSE, written

EXPECTED = frozenset(
    {"OFFSET_GAP", "CONTENT_CONFLICT", "FENCED", "STREAM_FINALIZED", "OVERLOADED"}
    | {"UNREACHABLE", "CANCELLED", ""}
)
"""Reasons that a history may hold when nothing at rest was damaged."""

MISSING = frozenset({"NOT_FOUND", "REFUSED"})
"""The same of who names media that grow."""

ODD = {"retrier": frozenset({"NOT_FOUND", "LIMIT_EXCEEDED", "INVALID_INPUT", "MALFORMED_MEDIA"})}
"""The same of clients who ask for what is wrong, or gone by now."""

EVERYTHING = "*"
"""What happened to all streams at once."""


def violations(history: Iterable[Operation], tolerated: frozenset[str] = frozenset()) -> list[str]:
    """What is wrong with a history; empty if nothing is.

    `tolerated` are reasons, beside `EXPECTED`, that the faults of this history explain.
    """
    streams = by_stream(history)
    cuts = streams.pop(EVERYTHING, [])
    synced = [one.invoked for found in streams.values() for one in found if _synced(one)]
    wrong = []
    for stream, operations in streams.items():
        evidence = Evidence([*_late(streams, stream), *operations])
        laws = LAWS if evidence.ends_with_a_read else (read_in_the_end,)
        if stream == LOOSE and evidence.ends_with_a_read:
            found = written(operations, cuts, sorted(synced))
            wrong += [f"{stream}: written: {what}" for what in found]
        else:
            wrong += [f"{stream}: {law.__name__}: {what}" for law in laws for what in law(evidence)]
        odd = {one.reason for one in operations if one.reason not in _reasons(one)} - tolerated
        wrong += [f"{stream}: unexpected: {reason}" for reason in sorted(odd)]
    return wrong


def _synced(one: Operation) -> bool:
    return one.outcome == "ok" and one.durability == "synced" and not one.duplicate


def _late(streams: dict[str, list[Operation]], stream: str) -> Iterator[Operation]:
    """Batches to the streams that had this name before, which may come late."""
    name, _, era = stream.partition(ERA)
    for before in range(int(era or 0)):
        for one in streams.get(f"{name}{ERA}{before}", ()):
            if one.kind == "append" and one.outcome == "unknown":
                yield one


def _reasons(one: Operation) -> frozenset[str]:
    """What may have become of an operation."""
    named = MISSING if one.media else frozenset[str]()
    return EXPECTED | named | ODD.get(one.client, frozenset())


def read_in_the_end(evidence: Evidence) -> Iterator[str]:
    """The stream could be read whole when all was over; else no other law can be checked."""
    reasons = sorted({one.reason for one in evidence.reads} - {""})
    yield f"the end could not be read; reads ended with {reasons}"


def placed(evidence: Evidence) -> Iterator[str]:
    """Acknowledged appends lie at exactly the offsets that were said, once."""
    ends: dict[int, Operation] = {}
    for one in _acknowledged(evidence):
        first, stop = one.first, one.first + len(one.keys)
        if one.offset not in (None, first):
            yield f"asked for {one.offset}, acknowledged at {first}: {_brief(one)}"
        if evidence.log[first:stop] != one.keys:
            yield f"acknowledged at [{first}, {stop}) and not there: {_brief(one)}"
        if one.duplicate:
            continue
        if one.next != stop:
            yield f"the next offset after [{first}, {stop}) is not {one.next}: {_brief(one)}"
        if first < evidence.least(one.invoked) and one.offset is None:
            yield f"appended at the end, {first}, when the end was later: {_brief(one)}"
        if stop <= evidence.least(one.invoked) or stop in ends:
            yield f"acknowledged as new at [{first}, {stop}), but was there: {_brief(one)}"
        ends[stop] = one


def explained(evidence: Evidence) -> Iterator[str]:
    """The log is made of whole batches that may have been stored when they were first seen."""
    reached = [0]
    starts: dict[str, list[int]] = {}
    for at, key in enumerate(evidence.log):
        starts.setdefault(key, []).append(at)
    spans = [
        (first + len(one.keys), first, one)
        for one in evidence.appends
        if _may_have_stored(evidence, one)
        for first in (starts.get(one.keys[0], ()) if one.offset is None else (one.offset,))
        if evidence.log[first : first + len(one.keys)] == one.keys
    ]
    for stop, first, one in sorted(spans, key=lambda span: span[:2]):
        begins = max(first, evidence.least(one.invoked), evidence.before(stop))
        ends = first + 1 if one.offset is None else stop
        at = bisect_left(reached, begins)
        timely = one.invoked <= evidence.first_seen(stop)
        if timely and at < len(reached) and reached[at] < ends:
            reached.append(stop)
    for edge in evidence.edges:
        at = bisect_left(reached, edge)
        if edge <= len(evidence.log) and (at == len(reached) or reached[at] != edge):
            yield f"no whole batches lead to offset {edge} after {reached[at - 1]}"
            return


def seen(evidence: Evidence) -> Iterator[str]:
    """Reads show the log, from where they were asked to begin."""
    for one in evidence.reads:
        first = one.offset or 0
        stop = first + len(one.keys)
        if evidence.log[first:stop] != one.keys:
            yield f"read what the log does not hold in [{first}, {stop}): {_brief(one)}"
        if one.limit and len(one.keys) > one.limit:
            yield f"read more than {one.limit}: {_brief(one)}"


def recent(evidence: Evidence) -> Iterator[str]:
    """What was acknowledged or seen is there for all who ask later, and to the end."""
    for one in evidence.operations:
        least = evidence.least(one.invoked)
        if one.limit:
            least = min(least, (one.offset or 0) + one.limit)
        sure = (one.next >= 0 and exact(one)) or one.whole
        if sure and max(shown(one), one.offset or 0 if one.kind == "read" else 0) < least:
            yield f"told of {shown(one)} offsets when there were {least}: {_brief(one)}"
        if shown(one) > len(evidence.log):
            yield f"told of {shown(one)} offsets, the end has {len(evidence.log)}: {_brief(one)}"


def fenced(evidence: Evidence) -> Iterator[str]:
    """Epochs only rise, and once one is given older writers are acknowledged nothing."""
    for one in _acknowledged(evidence):
        if 0 < one.epoch < evidence.newest(one.invoked):
            yield f"acknowledged after epoch {evidence.newest(one.invoked)}: {_brief(one)}"
    given: set[int] = set()
    for one in evidence.claims:
        if one.outcome != "ok":
            continue
        newest = evidence.newest(one.invoked)
        if one.epoch != one.asked if one.asked else one.epoch <= newest or one.epoch in given:
            yield f"was given epoch {one.epoch}, which is not a new one: {_brief(one)}"
        if one.epoch < newest:
            yield f"was given epoch {one.epoch} after {newest}: {_brief(one)}"
        given.add(one.epoch)


def closed(evidence: Evidence) -> Iterator[str]:
    """A finalized stream neither grows nor says that it is open."""
    later = (one for one in evidence.operations if one.invoked > evidence.closed)
    for one in later:
        if one.outcome != "ok":
            continue
        if one.kind == "append" and not one.duplicate:
            yield f"acknowledged after the stream was finalized: {_brief(one)}"
        if one.kind == "look" and not one.finalized:
            yield f"open after it was finalized: {_brief(one)}"
        if exact(one) and shown(one) != len(evidence.log):
            yield f"{shown(one)} long after it was finalized: {_brief(one)}"


def refusals(evidence: Evidence) -> Iterator[str]:
    """A refusal has its reason in the history."""
    for one in evidence.appends:
        right = REASONS.get(one.reason)
        if one.outcome == "refused" and right is not None and not right(evidence, one):
            yield f"no reason for {one.reason}: {_brief(one)}"


def digest(evidence: Evidence) -> Iterator[str]:
    """The digest is the one of the content, and the end is the one that was told."""
    for one in evidence.operations:
        if one.digest and one.digest != evidence.digest(one.next):
            yield f"the digest is not that of the first {one.next} samples: {_brief(one)}"
    told = max((one.next for one in evidence.operations if exact(one)), default=0)
    if told > len(evidence.log):
        yield f"the last whole read ends at {len(evidence.log)}, the stream was told as {told} long"


def _may_have_stored(evidence: Evidence, one: Operation) -> bool:
    late = one.invoked > evidence.closed or 0 < one.epoch < evidence.newest(one.invoked)
    return one.outcome != "refused" and not one.duplicate and not late


def _acknowledged(evidence: Evidence) -> Iterator[Operation]:
    return (one for one in evidence.appends if one.outcome == "ok")


def _gap(evidence: Evidence, one: Operation) -> bool:
    return one.offset is not None and one.offset > evidence.least(one.invoked)


def _conflict(evidence: Evidence, one: Operation) -> bool:
    there = evidence.log[one.offset or 0 :][: len(one.keys)]
    return one.offset is not None and there != one.keys[: len(there)]


def _fence(evidence: Evidence, one: Operation) -> bool:
    return any(
        claim.invoked < one.returned and (claim.outcome == "unknown" or claim.epoch > one.epoch)
        for claim in evidence.claims
        if claim.outcome != "refused"
    )


def _end(evidence: Evidence, one: Operation) -> bool:
    asked = (other for other in evidence.operations if other.kind == "finalize")
    return any(other.invoked < one.returned for other in asked)


def _brief(one: Operation) -> str:
    shape = f"{one.kind} of {len(one.keys)} at {one.offset} by {one.client}"
    return f"{shape}, {one.outcome} {one.reason} first {one.first} next {one.next}"


LAWS: Sequence[Callable[[Evidence], Iterator[str]]] = (
    placed, explained, seen, recent, fenced, closed, refusals, digest,
    whole, grown, other, there, rejected, retained,
)  # fmt: skip
REASONS: dict[str, Callable[[Evidence, Operation], bool]] = {
    "OFFSET_GAP": _gap,
    "CONTENT_CONFLICT": _conflict,
    "FENCED": _fence,
    "STREAM_FINALIZED": _end,
}

"""What a stream keeps: refused samples as they came, and of the others only the newest.

    rejected  what was acknowledged as refused can be listed and shown as it was sent, until
              somebody tries it again
    retained  nothing expires that is to be kept, what has expired is not read again, and what is
              not to be kept has gone in the end

Expired samples leave tombstones with their ids, so all other laws hold for them as well.
"""

from collections.abc import Iterator, Sequence
from itertools import accumulate

from tests.robustness.contents import REFUSED, size_of, twin_name
from tests.robustness.evidence import NEVER, Evidence, at_time, exact, rising
from tests.robustness.history import Operation

RETAINED = {"bounded": (0, 20_000), "aged": (1, 0)}
"""Streams that twins write: seconds and media bytes that they keep; 0: without end."""

CLOCK_NS = 50_000_000
"""How far the server's clock of the day and ours, which counts on, may drift apart."""


def rejected(evidence: Evidence) -> Iterator[str]:
    """What was acknowledged as refused is kept as it came."""
    tried = _tried(evidence)
    known = [(one.returned, at) for one in evidence.appends for at in one.refused]
    for one in (one for one in evidence.operations if one.kind == "rejects"):
        later = {at for at, time in tried.items() if time <= one.returned}
        sure = {at for time, at in known if time < one.invoked} - later
        if one.outcome == "ok" and one.offset is None and (lost := sure - {*one.refused}):
            yield f"refused, acknowledged and not kept: offsets {sorted(lost)[:5]}"
        if one.reason == "NOT_FOUND" and one.offset in sure:
            yield f"the refused sample at offset {one.offset} is not kept"
        if one.offset is not None and one.keys and one.keys != evidence.log[one.offset :][:1]:
            yield f"the refused sample at offset {one.offset} is not as it was sent"
        beyond = [at for at in one.refused if at >= len(evidence.log)]
        if beyond:
            yield f"kept as refused, and never appended: offsets {beyond[:5]}"


def _tried(evidence: Evidence) -> dict[int, int]:
    """When somebody first tried a refused sample again, by its offset."""
    tried: dict[int, int] = {}
    for one in evidence.operations:
        if one.kind == "retry" and one.outcome != "refused":
            tried[one.offset or 0] = min(one.invoked, tried.get(one.offset or 0, NEVER))
    return tried


def retained(evidence: Evidence) -> Iterator[str]:
    """Exactly the newest are kept."""
    stream = evidence.operations[0].stream
    if stream not in RETAINED:
        return
    sizes = (size_of(twin_name(stream, at)) for at in range(len(evidence.log)))
    sums = [0, *accumulate(sizes)]
    for one in evidence.operations:
        yield from _looked(one, sums)
        yield from _read(one, evidence)
    for time, first in gone(evidence):
        if not _allowed(evidence, stream, sums, time, first):
            yield f"offset {first - 1} has expired too early"
    yield from _in_the_end(evidence, stream, sums)


def gone(evidence: Evidence) -> list[tuple[int, int]]:
    """When which offsets were first known to have expired: all before the second number."""
    looks = ((one.returned, one.first_kept) for one in evidence.operations)
    reads = ((one.returned, max(one.expired) + 1) for one in evidence.reads if one.expired)
    return rising([*looks, *reads])


def _looked(one: Operation, sums: Sequence[int]) -> Iterator[str]:
    if one.first_kept >= 0 and one.next < len(sums):
        kept = sums[one.next] - sums[min(one.first_kept, one.next)]
        if one.kept_bytes != kept:
            yield f"{one.kept_bytes} bytes are said to be kept, it is {kept} from {one.first_kept}"


def _read(one: Operation, evidence: Evidence) -> Iterator[str]:
    before = at_time(evidence.cached(gone), one.invoked)
    if 0 <= one.first_kept < before:
        yield f"the first offset kept went back from {before} to {one.first_kept}"
    if one.kind != "read":
        return
    first, expired = one.offset or 0, {*one.expired}
    for at, key in enumerate(one.keys[: max(0, before - first)], first):
        if at not in expired and not key.startswith(REFUSED):
            yield f"offset {at} was read though it had expired"
            return


def _allowed(evidence: Evidence, stream: str, sums: Sequence[int], time: int, first: int) -> bool:
    """Whether the sample before `first` may have expired at this time."""
    age_s, size = RETAINED[stream]
    if size:
        later = (one.next for one in evidence.operations if one.invoked >= time and exact(one))
        most = min(later, default=len(sums) - 1)
        return sums[max(most, first)] - sums[first - 1] > size
    stored = evidence.cached(_stored)
    return time - stored[first - 1] >= age_s * 1e9 - CLOCK_NS


def _stored(evidence: Evidence) -> list[int]:
    """The earliest time at which each offset may have been stored."""
    times = [NEVER] * len(evidence.log)
    for one in evidence.appends:
        if one.outcome != "refused" and one.offset is not None:
            for at in range(one.offset, min(one.offset + len(one.keys), len(times))):
                times[at] = min(times[at], one.invoked)
    return times


def _in_the_end(evidence: Evidence, stream: str, sums: Sequence[int]) -> Iterator[str]:
    """The last look shows no more than is to be kept."""
    looks = [one for one in evidence.operations if one.kind == "look" and one.first_kept >= 0]
    _, size = RETAINED[stream]
    if not looks or looks[-1].client != "last":
        return
    kept = sums[looks[-1].next] - sums[looks[-1].first_kept]
    if kept > size:
        yield f"{kept} bytes are kept in the end, not {size}"

"""Runs: samples that came together, in one row, for a row costs more than a small sample does.

    hashes    32 bytes a sample
    told      JSON: [[id, event time, labels, parts], ...], parts as `content.pack` tells them
    payload   their media, one after the other; of a batch with many they are in a region instead

A run is short enough to be read for one of its samples. Beside runs there are tombstones, each in
a row of its own; one at an offset of a run takes the place of the sample there.
"""

import json
from collections.abc import Sequence
from typing import Any, NamedTuple

from pydantic_core import to_json

from rankspace.media.sample import Sample
from rankspace.store import content

SAMPLES = 256
"""Of one run at most."""

DIGEST = 32


class Run(NamedTuple):
    """Samples with consecutive offsets."""

    hashes: bytes
    told: str
    payload: bytes
    size: int
    """Media bytes, as sent."""

    at: int | None = None
    """Where its media begin in the region of its batch; None: they are the payload."""

    @property
    def offsets(self) -> int:
        """How many it takes."""
        return len(self.hashes) // DIGEST


class Tombstone(NamedTuple):
    """What is at an offset without a sample."""

    hashes: bytes
    """One hash: that of the sample that was sent."""

    sample_id: str
    reason: str
    message: str

    @property
    def offsets(self) -> int:
        """How many it takes."""
        return 1

    @property
    def size(self) -> int:
        """Media bytes that are kept."""
        return 0


Entry = Run | Tombstone


class Lines:
    """A run in the making, in a region: its media begin there behind those of so many bytes."""

    def __init__(self, at: int) -> None:
        self._at = at
        self._hashes: list[bytes] = []
        self._told: list[str] = []
        self._size = 0

    @property
    def full(self) -> bool:
        """It takes no more samples."""
        return len(self._hashes) == SAMPLES

    @property
    def end(self) -> int:
        """Where its media end."""
        return self._at + self._size

    def add(self, sample: Sample, parts: str, size: int) -> None:
        """Take a sample with so many bytes, told by `content.pack`."""
        self._hashes.append(content.digest(sample))
        self._told.append(_line(sample, parts))
        self._size += size

    def run(self) -> Run | None:
        """What has come of it; None: nothing."""
        if not self._hashes:
            return None
        return Run(b"".join(self._hashes), f"[{','.join(self._told)}]", b"", self._size, self._at)


def laid(
    entries: Sequence[Entry], pieces: Sequence[bytes | memoryview], inline_bytes_max: int
) -> tuple[Sequence[Entry], Sequence[bytes | memoryview]]:
    """Entries whose media are in a region, and these: in the rows where that are so few bytes."""
    if sum(map(len, pieces)) > inline_bytes_max:
        return entries, pieces
    media = b"".join(pieces)
    return [_inline(entry, media) if isinstance(entry, Run) else entry for entry in entries], ()


def _inline(run: Run, media: bytes) -> Run:
    at = run.at or 0
    return run._replace(payload=media[at : at + run.size], at=None)


def behind(entries: Sequence[Entry], count: int) -> list[Entry]:
    """What is left without the first offsets."""
    left: list[Entry] = []
    for entry in entries:
        if count >= entry.offsets:
            count -= entry.offsets
        else:
            left.append(_cut(entry, count) if isinstance(entry, Run) and count else entry)
            count = 0
    return left


def _cut(run: Run, count: int) -> Run:
    """A run without its first samples."""
    lines = json.loads(run.told)
    gone = sum(content.size(line[3]) for line in lines[:count])
    told, hashes = to_json(lines[count:]).decode(), run.hashes[DIGEST * count :]
    if run.at is None:
        return Run(hashes, told, run.payload[gone:], run.size - gone)
    return Run(hashes, told, b"", run.size - gone, run.at + gone)


def _line(sample: Sample, parts: str) -> str:
    said = to_json(sample.sample_id).decode()
    labels: Any = dict(sample.labels)
    return f"[{said},{sample.event_time_us},{to_json(labels).decode() if labels else '{}'},{parts}]"

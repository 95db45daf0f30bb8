"""Runs: samples that came together, in one row, for a row costs more than a small sample does.

    hashes    32 bytes a sample
    told      JSON: [[id, event time, labels, parts], ...], parts as `content.pack` tells them
    payload   media that are small enough to lie in the row, one after the other

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

BYTES = 1 << 20
"""Of the payload of a run of more than one sample at most."""

DIGEST = 32


class Run(NamedTuple):
    """Samples with consecutive offsets."""

    hashes: bytes
    told: str
    payload: bytes
    size: int
    """Media bytes, as sent."""

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
    """A run in the making."""

    def __init__(self) -> None:
        self._hashes: list[bytes] = []
        self._told: list[str] = []
        self._payload: list[bytes] = []
        self._kept = self._size = 0

    def takes(self, payload: bytes) -> bool:
        """Whether there is room for one more sample with so much of its media in the row."""
        room = len(self._hashes) < SAMPLES and self._kept + len(payload) <= BYTES
        return room or not self._hashes

    def add(self, sample: Sample, parts: str, payload: bytes) -> None:
        """Take a sample, told and packed by `content.pack`."""
        self._hashes.append(content.digest(sample))
        self._told.append(_line(sample, parts))
        self._payload.append(payload)
        self._kept += len(payload)
        self._size += content.media_bytes(sample)

    def run(self) -> Run | None:
        """What has come of it; None: nothing."""
        hashes, payload = b"".join(self._hashes), b"".join(self._payload)
        return Run(hashes, f"[{','.join(self._told)}]", payload, self._size) if hashes else None


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
    kept, size = map(sum, zip(*(content.sizes(line[3]) for line in lines[:count]), strict=True))
    told = to_json(lines[count:]).decode()
    return Run(run.hashes[DIGEST * count :], told, run.payload[kept:], run.size - size)


def _line(sample: Sample, parts: str) -> str:
    said = to_json(sample.sample_id).decode()
    labels: Any = dict(sample.labels)
    return f"[{said},{sample.event_time_us},{to_json(labels).decode() if labels else '{}'},{parts}]"

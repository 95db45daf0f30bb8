"""Reproducible WebDataset shards: same samples, same bytes.

A sample is `key.json` and then its parts, `key.role.extension`, in the order given. Names, order
and content are all there is to a shard: owners, modes and times are fixed.
Source of the layout: github.com/webdataset/webdataset.
"""

import gzip
import io
import json
import tarfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

SUFFIXES = {
    "txt": "text",
    "ogg": "audio",
    "png": "image",
    "gif": "video",
    "mp4": "video",
    "webm": "video",
}


@dataclass(frozen=True)
class Entry:
    """A sample as it lies in a shard."""

    key: str
    parts: Mapping[str, bytes]
    """By `role.extension`, in order."""

    labels: Mapping[str, str] = field(default_factory=dict)
    event_time_us: int = 0
    """When the source file was last changed by its makers; 0 when unknown."""


def write(path: Path, stream: str, entries: Iterable[Entry]) -> int:
    """Write a shard; returns how many samples it holds."""
    count = 0
    with (
        path.open("wb") as raw,
        gzip.GzipFile(fileobj=raw, mode="wb", compresslevel=9, mtime=0, filename="") as packed,
        tarfile.open(fileobj=packed, mode="w", format=tarfile.USTAR_FORMAT) as tar,
    ):
        for entry in entries:
            _add(tar, f"{entry.key}.json", _meta(stream, entry))
            for suffix, data in entry.parts.items():
                _add(tar, f"{entry.key}.{suffix}", data)
            count += 1
    return count


def _meta(stream: str, entry: Entry) -> bytes:
    parts = {}
    for suffix in entry.parts:
        role, _, extension = suffix.partition(".")
        parts[suffix] = {"modality": SUFFIXES[extension], "role": role}
    meta = {
        "sample_id": f"{stream}/{entry.key}",
        "event_time_us": entry.event_time_us,
        "labels": dict(entry.labels),
        "parts": parts,
    }
    return json.dumps(meta, ensure_ascii=False).encode()


def _add(tar: tarfile.TarFile, name: str, data: bytes) -> None:
    info = tarfile.TarInfo(name)
    info.size = len(data)
    tar.addfile(info, io.BytesIO(data))

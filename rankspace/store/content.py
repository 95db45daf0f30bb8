"""Samples as bytes: the hash that tells a retry from other content, and the form a row keeps.

The content hash is BLAKE3 over this layout; integers are little-endian, `text` is u32 length +
UTF-8, `bytes` is u64 length + the bytes, and a list is its u32 length and then its items:

    sample    "rankspace.sample.1" text(sample_id) i64(event_time_us)
              list of labels, by key: text(key) text(value)
              list of parts: text(modality) text(encoding) text(role) u32(rate_hz) u32(channels)
                             bytes(data) list of frames: i64(time_us) bytes(image)
              where a part has a start time, the head is "rankspace.sample.2" and each part ends
              with i64(start_us)
    rejected  that of the sample, if it could be read, else
              "rankspace.rejected.1" text(sample_id) text(reason)

Every field is led by its length, so different samples never have the same layout.

In a row, `parts` is JSON, and of each piece of media (a part's data, a frame's picture) it tells
the length: the pieces of a sample lie one after the other, in the payload of its run or a region.
"""

import struct
from collections.abc import Sequence
from functools import lru_cache
from operator import attrgetter
from typing import Any

from pydantic_core import to_json

from rankspace import hashing
from rankspace.errors import Corrupt
from rankspace.media.sample import Frame, Part, Sample
from rankspace.store.entries import Rejected

_COUNT = struct.Struct("<I")
_HEAD = struct.Struct("<qI")
_MEDIA = struct.Struct("<IIQ")
_TIMED = struct.Struct("<qQ")
_START = struct.Struct("<q")
_start_us = attrgetter("start_us")


def digest(sample: Sample | Rejected) -> bytes:
    """The content hash: 32 bytes."""
    if isinstance(sample, Rejected):
        if sample.content is None:
            layout = b"rankspace.rejected.1" + _text(sample.sample_id) + _text(sample.reason)
            return hashing.digest(layout)
        sample = sample.content
    return hashing.digest(*_layout(sample))


def chain(before: bytes, contents: bytes) -> bytes:
    """The digest of a stream after more offsets, whose hashes are told one after the other.

    That of an empty stream is 32 zero bytes.
    """
    return hashing.chain(before, contents)


def media_bytes(sample: Sample) -> int:
    """Bytes of media as sent."""
    size = 0
    for part in sample.parts:
        size += len(part.data)
        for frame in part.frames:
            size += len(frame.image)
    return size


def pack(sample: Sample) -> tuple[str, list[bytes]]:
    """The parts as JSON, and the pieces of media that they tell the lengths of."""
    pieces: list[bytes] = []
    words: list[str] = ["["]
    for part in sample.parts:
        words.append(
            _described(
                part.modality, part.encoding, part.role, part.rate_hz, part.channels, part.start_us
            )
        )
        words.append(str(len(part.data)))
        pieces.append(part.data)
        if part.frames:
            told = ",".join(f"[{frame.time_us},{len(frame.image)}]" for frame in part.frames)
            words.append(f',"frames":[{told}]')
            pieces.extend(frame.image for frame in part.frames)
        words.append("},")
    words[-1] = "}]" if sample.parts else "[]"
    return "".join(words), pieces


@lru_cache(1024)
def _described(
    modality: str, encoding: str, role: str, rate_hz: int, channels: int, start_us: int
) -> str:
    """The JSON of a part up to the place of its data."""
    plain = {"encoding": encoding, "role": role}
    numbers = {"rate_hz": rate_hz, "channels": channels, "start_us": start_us}
    row = {"modality": modality} | {key: value for key, value in (plain | numbers).items() if value}
    return to_json(row).decode()[:-1] + ',"data":'


def unpack(rows: Sequence[dict[str, Any]], media: bytes) -> tuple[Part, ...]:
    """The parts again: with the pieces of `pack` joined they are `sample.parts`."""
    at = 0

    def cut(length: int) -> bytes:
        nonlocal at
        at += length
        if not 0 <= at - length <= at <= len(media):
            raise Corrupt("a record is shorter than its parts")
        return media[at - length : at]

    def part(row: dict[str, Any]) -> Part:
        kept = {key: value for key, value in row.items() if key not in ("data", "frames")}
        data = cut(row["data"])
        frames = tuple(Frame(time, cut(length)) for time, length in row.get("frames", ()))
        return Part(data=data, frames=frames, **kept)

    return tuple(part(row) for row in rows)


def size(rows: Sequence[dict[str, Any]]) -> int:
    """Bytes of all media."""
    total = 0
    for row in rows:
        total += row["data"] + sum(length for _, length in row.get("frames", ()))
    return total


def outline(rows: Sequence[dict[str, Any]]) -> tuple[Part, ...]:
    """The parts without their media."""
    hollow = {"data": 0, "frames": ()}
    return unpack([row | hollow for row in rows], b"")


def _text(text: str) -> bytes:
    encoded = text.encode()
    return _COUNT.pack(len(encoded)) + encoded


_word = lru_cache(4096)(_text)
"""The same for texts that most samples share."""


@lru_cache(1024)
def _kind(modality: str, encoding: str, role: str) -> bytes:
    return _text(modality) + _text(encoding) + _text(role)


def _layout(sample: Sample) -> list[bytes]:
    """The layout in pieces, so that media are not copied."""
    parts, labels = sample.parts, sample.labels
    timed = any(map(_start_us, parts))
    layout = [
        b"rankspace.sample.2" if timed else b"rankspace.sample.1",
        _text(sample.sample_id),
        _HEAD.pack(sample.event_time_us, len(labels)),
    ]
    for key in sorted(labels):
        layout += (_word(key), _text(labels[key]))
    layout.append(_COUNT.pack(len(parts)))
    for part in parts:
        data, frames = part.data, part.frames
        layout += (
            _kind(part.modality, part.encoding, part.role),
            _MEDIA.pack(part.rate_hz, part.channels, len(data)),
            data,
            _COUNT.pack(len(frames)),
        )
        for frame in frames:
            layout += (_TIMED.pack(frame.time_us, len(frame.image)), frame.image)
        if timed:
            layout.append(_START.pack(part.start_us))
    return layout

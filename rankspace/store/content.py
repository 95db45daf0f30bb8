"""Samples as bytes: the hash that tells a retry from other content, and the form a row keeps.

The content hash is SHA-256 over this layout; integers are little-endian, `text` is u32 length +
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

In a row, `parts` is JSON and each piece of media (a part's data, a frame's picture) is either a
number, its length, and lies in the payload after the pieces before it, or a place in a blob.
"""

import hashlib
import struct
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

from rankspace.errors import Corrupt
from rankspace.media.sample import Frame, Part, Sample
from rankspace.store.entries import Rejected

Place = int | str

_SMALL = 4096  # bytes that are cheaper to copy than to hash by themselves


def digest(sample: Sample | Rejected) -> bytes:
    """The content hash: 32 bytes."""
    if isinstance(sample, Rejected):
        if sample.content is None:
            layout = b"rankspace.rejected.1" + _text(sample.sample_id) + _text(sample.reason)
            return hashlib.sha256(layout).digest()
        sample = sample.content
    return _hash(_layout(sample))


def chain(before: bytes, content: bytes) -> bytes:
    """The digest of a stream after one more offset; that of an empty stream is 32 zero bytes."""
    return hashlib.sha256(before + content).digest()


def media_bytes(sample: Sample) -> int:
    """Bytes of media as sent."""
    return sum(
        len(part.data) + sum(len(frame.image) for frame in part.frames) for part in sample.parts
    )


@dataclass(slots=True)
class Packed:
    """A sample's media in the form a row keeps."""

    parts: list[dict[str, Any]] = field(default_factory=list)
    payload: bytes = b""


def pack(sample: Sample, inline_bytes_max: int, large: Callable[[bytes], str]) -> Packed:
    """Place every piece: in the payload while there is room, where `large` says otherwise."""
    packed = Packed()
    pieces: list[bytes] = []
    room = inline_bytes_max

    def place(piece: bytes) -> Place:
        nonlocal room
        if len(piece) <= room:
            pieces.append(piece)
            room -= len(piece)
            return len(piece)
        return large(piece)

    for part in sample.parts:
        row: dict[str, Any] = {"modality": part.modality, "data": place(part.data)}
        plain = {"encoding": part.encoding, "role": part.role}
        numbers = {"rate_hz": part.rate_hz, "channels": part.channels, "start_us": part.start_us}
        row |= {key: value for key, value in (plain | numbers).items() if value}
        if part.frames:
            row["frames"] = [[frame.time_us, place(frame.image)] for frame in part.frames]
        packed.parts.append(row)
    packed.payload = b"".join(pieces)  # of a single piece it makes no copy
    return packed


def unpack(
    rows: Sequence[dict[str, Any]], payload: bytes, blob: Callable[[str], bytes]
) -> tuple[Part, ...]:
    """The parts again: `unpack(*pack(sample))` is `sample.parts`."""
    at = 0

    def fetch(place: Place) -> bytes:
        nonlocal at
        if isinstance(place, str):
            return blob(place)
        at += place
        if at > len(payload):
            raise Corrupt("a record is shorter than its parts")
        return payload[at - place : at]

    def part(row: dict[str, Any]) -> Part:
        kept = {key: value for key, value in row.items() if key not in ("data", "frames")}
        data = fetch(row["data"])
        frames = tuple(Frame(time, fetch(place)) for time, place in row.get("frames", ()))
        return Part(data=data, frames=frames, **kept)

    return tuple(part(row) for row in rows)


def outline(rows: Sequence[dict[str, Any]]) -> tuple[Part, ...]:
    """The parts without their media."""
    hollow = {"data": 0, "frames": ()}
    return unpack([row | hollow for row in rows], b"", lambda _: b"")


def _text(text: str) -> bytes:
    encoded = text.encode()
    return struct.pack("<I", len(encoded)) + encoded


_word = lru_cache(4096)(_text)
"""The same for texts that most samples share."""


def _layout(sample: Sample) -> Iterator[bytes]:
    """The layout piece by piece, so that media are not copied."""
    timed = any(part.start_us for part in sample.parts)
    yield (b"rankspace.sample.2" if timed else b"rankspace.sample.1") + _text(sample.sample_id)
    yield struct.pack("<qI", sample.event_time_us, len(sample.labels))
    for key, value in sorted(sample.labels.items()):
        yield _word(key) + _text(value)
    yield struct.pack("<I", len(sample.parts))
    for part in sample.parts:
        yield _word(part.modality) + _word(part.encoding) + _word(part.role)
        yield struct.pack("<IIQ", part.rate_hz, part.channels, len(part.data))
        yield part.data
        yield struct.pack("<I", len(part.frames))
        for frame in part.frames:
            yield struct.pack("<qQ", frame.time_us, len(frame.image))
            yield frame.image
        if timed:
            yield struct.pack("<q", part.start_us)


def _hash(layout: Iterable[bytes]) -> bytes:
    """SHA-256 of all pieces; small ones are joined first, for a call costs more than its bytes."""
    hasher = hashlib.sha256()
    small: list[bytes] = []
    for piece in layout:
        if len(piece) < _SMALL:
            small.append(piece)
        else:
            hasher.update(b"".join(small))
            small.clear()
            hasher.update(piece)
    hasher.update(b"".join(small))
    return hasher.digest()

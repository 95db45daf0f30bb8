"""Samples as bytes: the hash that tells a retry from other content, and the form a row keeps.

The content hash is SHA-256 over this layout; integers are little-endian, `text` is u32 length +
UTF-8, `bytes` is u64 length + the bytes, and a list is its u32 length and then its items:

    sample    "rankspace.sample.1" text(sample_id) i64(event_time_us)
              list of labels, by key: text(key) text(value)
              list of parts: text(modality) text(encoding) text(role) u32(rate_hz) u32(channels)
                             bytes(data) list of frames: i64(time_us) bytes(image)
    rejected  that of the sample, if it could be read, else
              "rankspace.rejected.1" text(sample_id) text(reason)

Every field is led by its length, so different samples never have the same layout.

In a row, `parts` is JSON and each piece of media (a part's data, a frame's picture) is either a
number, its length, and lies in the payload after the pieces before it, or the name of a blob.
"""

import hashlib
import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from rankspace.errors import Corrupt
from rankspace.media.sample import Frame, Part, Sample
from rankspace.store.entries import Rejected

Place = int | str


def digest(sample: Sample | Rejected) -> bytes:
    """The content hash: 32 bytes."""
    if isinstance(sample, Rejected):
        if sample.content is None:
            layout = b"rankspace.rejected.1" + _text(sample.sample_id) + _text(sample.reason)
            return hashlib.sha256(layout).digest()
        sample = sample.content
    hasher = hashlib.sha256()
    _pour(hasher.update, sample)
    return hasher.digest()


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
    payload: bytearray = field(default_factory=bytearray)
    blobs: dict[str, bytes] = field(default_factory=dict)


def pack(sample: Sample, inline_bytes_max: int) -> Packed:
    """Place every piece: in the payload while there is room, in a blob otherwise."""
    packed = Packed()

    def place(piece: bytes) -> Place:
        if len(packed.payload) + len(piece) <= inline_bytes_max:
            packed.payload += piece
            return len(piece)
        name = hashlib.sha256(piece).hexdigest()
        packed.blobs[name] = piece
        return name

    for part in sample.parts:
        row: dict[str, Any] = {"modality": part.modality, "data": place(part.data)}
        plain = {"encoding": part.encoding, "role": part.role}
        numbers = {"rate_hz": part.rate_hz, "channels": part.channels}
        row |= {key: value for key, value in (plain | numbers).items() if value}
        if part.frames:
            row["frames"] = [[frame.time_us, place(frame.image)] for frame in part.frames]
        packed.parts.append(row)
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


def _text(text: str) -> bytes:
    encoded = text.encode()
    return struct.pack("<I", len(encoded)) + encoded


def _pour(pour: Callable[[bytes], None], sample: Sample) -> None:
    """Hand the layout of a sample to `pour`, piece by piece, so that media are not copied."""

    def media(piece: bytes) -> None:
        pour(struct.pack("<Q", len(piece)))
        pour(piece)

    pour(b"rankspace.sample.1" + _text(sample.sample_id))
    pour(struct.pack("<qI", sample.event_time_us, len(sample.labels)))
    for key, value in sorted(sample.labels.items()):
        pour(_text(key) + _text(value))
    pour(struct.pack("<I", len(sample.parts)))
    for part in sample.parts:
        pour(_text(part.modality) + _text(part.encoding) + _text(part.role))
        pour(struct.pack("<II", part.rate_hz, part.channels))
        media(part.data)
        pour(struct.pack("<I", len(part.frames)))
        for frame in part.frames:
            pour(struct.pack("<q", frame.time_us))
            media(frame.image)

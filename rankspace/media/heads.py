"""What the first bytes of a file promise, read without opening a decoder.

    png jpeg gif webp    the size of the picture
    wav flac             rate, channels, how many samples
    raw PCM              the same; no byte of it is needed

Law: what is told from the head is what `rankspace.media.probe` tells from the whole, except that
the whole of a wav or flac may turn out to hold no sound at all, and that of a flac frames of
another rate; decoding finds that. What cannot be told, or would be a refusal, is None: whoever asks
then looks at the whole.
"""

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from operator import attrgetter

from rankspace.errors import InvalidInput
from rankspace.media import audio, image
from rankspace.media.clip import Probe
from rankspace.media.limits import Limits
from rankspace.media.magic import ENCODINGS, RAW, sniff
from rankspace.media.sample import MODALITIES, Modality, Part

HEAD_BYTES = 4096
"""The size of most pictures lies within so many bytes, a colour profile before it included."""

Kind = tuple[Modality, str, int, int, int]
"""Modality, encoding, rate_hz, channels and bytes of a part."""

ROW = struct.Struct("=6q")
"""A row of `Heads`."""

ENCODED = ("", *ENCODINGS["audio"], *ENCODINGS["image"])
"""Encodings of parts that are told by their heads, by their number, which is that on the wire."""

_NUMBERS = {encoding: number for number, encoding in enumerate(ENCODED)}

_SOUNDS = (b"RIFF", b"fLaC")
_PICTURES = frozenset(ENCODINGS["image"])


def needed(part: Part) -> int | None:
    """How many bytes of a part to look at; None: all of them."""
    if part.encoding in RAW:
        return 0
    if part.modality == "image" or (part.modality == "audio" and part.data[:4] in _SOUNDS):
        return HEAD_BYTES
    return None


@dataclass(frozen=True, slots=True)
class Heads:
    """The first bytes of many parts as they are passed on: joined, none looked at by itself."""

    rows: bytes
    """Six int64 a part: modality and encoding by their numbers, rate_hz, channels, bytes, and how
    many of them are there."""

    data: bytes
    """The first bytes of each, one after the other."""

    def __len__(self) -> int:
        return len(self.rows) // ROW.size

    def cut(self, first: int, end: int) -> "Heads":
        """Those of some parts."""
        there = [row[-1] for row in ROW.iter_unpack(self.rows)]
        at = sum(there[:first])
        data = self.data[at : at + sum(there[first:end])]
        return Heads(self.rows[ROW.size * first : ROW.size * end], data)


def joined(those: Sequence[Heads]) -> Heads:
    """Those of all of them."""
    rows, data = (b"".join(map(attrgetter(name), those)) for name in ("rows", "data"))
    return those[0] if len(those) == 1 else Heads(rows, data)


def heads_of(parts: Sequence[Part]) -> tuple[Heads, list[int], list[int]]:
    """The heads of those that they tell, the places of these, and the places of all others."""
    rows, data, short, whole = [], [], [], []
    for at, part in enumerate(parts):
        size = needed(part)
        if size is None or part.encoding not in _NUMBERS:
            whole.append(at)
            continue
        head = part.data[:size]
        kind = MODALITIES.index(part.modality), _NUMBERS[part.encoding], part.rate_hz, part.channels
        rows.append(ROW.pack(*kind, len(part.data), len(head)))
        data.append(head)
        short.append(at)
    return Heads(b"".join(rows), b"".join(data)), short, whole


def untold(count: int, memory: memoryview, limits: Limits) -> list[int]:
    """Which of so many parts are not in order as far as their heads tell, rows first in memory."""
    found, at = [], ROW.size * count
    for place, row in enumerate(ROW.iter_unpack(memory[:at])):
        modality, encoding, *rest, there = row
        kind = MODALITIES[modality], ENCODED[encoding], *rest
        if not in_order(kind, bytes(memory[at : at + there]), limits):
            found.append(place)
        at += there
    return found


def in_order(kind: Kind, data: bytes, limits: Limits) -> bool:
    """Whether `told` says anything of a part with these first bytes; of pictures without a Part.

    Half of what an append of pictures costs a process that looks at heads was making what it says.
    """
    modality, encoding, rate_hz, channels, size = kind
    if modality == "image" and (found := sniff(data)) in _PICTURES and encoding in ("", found):
        return image.in_order(found, data, limits)
    return told(Part(modality, data, encoding, "", rate_hz, channels), size, limits) is not None


def told(part: Part, size: int, limits: Limits) -> Probe | None:
    """What the header says of a part of `size` bytes; `part.data` are the first of them."""
    try:
        if part.modality == "image":
            return image.probe(part, limits)
        return audio.told(part, size, limits)
    except (InvalidInput, struct.error):
        return None

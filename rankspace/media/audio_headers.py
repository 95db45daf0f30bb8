"""The headers of wav and flac, read by hand: cheap enough for every sample at the door.

Only plain cases are told; of anything odd nothing is, and a decoder has to say.

Source: Multimedia Programming Interface and Data Specifications 1.0; Multiple Channel Audio Data
and WAVE Files (WAVE_FORMAT_EXTENSIBLE); FLAC (RFC 9639) 8.2.
"""

import struct
from collections.abc import Mapping
from types import MappingProxyType

from rankspace.errors import MalformedMedia

Header = tuple[int, int, int]
"""Samples a second, channels, samples a channel (0: not said)."""

_CHUNKS_MAX = 10_000
"""Chunks before the samples of a wav; a real one has some five."""

_OPEN_ENDED = 0x7FFF_0000
"""A wav that is written as it is recorded cannot know its length and says "very long"."""

_EXTENSIBLE = 0xFFFE
_GUID = bytes.fromhex("000000001000800000aa00389b71")
_BITS: Mapping[int, tuple[int, ...]] = MappingProxyType({1: (8, 16, 24, 32), 3: (32, 64)})
"""By the code of the format: integers, floats."""


def wav_header(head: bytes, size: int) -> Header | None:
    """What the first bytes of a wav of `size` bytes say."""
    form: tuple[int, ...] | None = None
    at = 12
    while at + 8 <= len(head):
        name, length = struct.unpack_from("<4sI", head, at)
        if name == b"fmt ":
            form = _format(head, at + 8, length)
        elif name == b"data":
            return _counted(form, length, size - at - 8)
        at += 8 + length + length % 2
    return None


def _format(head: bytes, at: int, length: int) -> tuple[int, ...] | None:
    """Rate, channels, bytes a step; None for what is not plain PCM."""
    code, channels, rate_hz, speed, step, bits = struct.unpack_from("<HHIIHH", head, at)
    if code == _EXTENSIBLE and length >= 40:
        code, guid = struct.unpack_from("<H14s", head, at + 24)
        code = code if guid == _GUID else 0
    plain = bits in _BITS.get(code, ()) and step == channels * bits // 8 and speed == rate_hz * step
    return (rate_hz, channels, step) if plain and step and length >= 16 else None


def _counted(form: tuple[int, ...] | None, length: int, there: int) -> Header | None:
    if form is None or there < length < _OPEN_ENDED:
        return None
    rate_hz, channels, step = form
    return rate_hz, channels, min(length, there) // step


def flac_header(head: bytes) -> Header | None:
    """What the first bytes of a flac say."""
    first, bits = struct.unpack_from(">I10xQ", head, 4)
    rate_hz, channels, samples = bits >> 44, (bits >> 41 & 7) + 1, bits & (1 << 36) - 1
    return (rate_hz, channels, samples) if first & 0x7FFF_FFFF == 34 and rate_hz else None


def check_riff(data: bytes) -> None:
    """Refuse a wav whose samples end before its header says so; libsndfile would not tell."""
    at = 12
    for _ in range(_CHUNKS_MAX):
        if at + 8 > len(data):
            break
        name, size = struct.unpack_from("<4sI", data, at)
        if name == b"data":
            if len(data) - at - 8 < size < _OPEN_ENDED:
                raise MalformedMedia("the wav is cut short: its header names more bytes", "data")
            return
        at += 8 + size + size % 2
    raise MalformedMedia("the wav holds no samples", "data")

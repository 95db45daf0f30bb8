"""Sounds: wav, flac, mp3 without tags; `ogg.py` has the rest.

    wav    the format, the samples, and how many there are
    flac   the header and the frames, the last of which must end the file
    mp3    its frames, one after the other; the first may hold the encoder's delay

Source: Multimedia Programming Interface and Data Specifications 1.0; FLAC (RFC 9639) 8 and 9; MPEG
audio (ISO/IEC 11172-3, 13818-3) 2.4.1.3; ID3v2.4 3.1; ID3v1; APEv2; Lyrics3 v2.
"""

import struct
from functools import cache

from rankspace.media.strip.faults import Unsafe

_CHUNKS_MAX = 10_000
_OPEN_ENDED = 0x7FFF_0000
_FORMAT_BYTES_MAX = 64
"""A wav's format with the tables of the largest codec that is taken."""

_LAST_FRAME_MAX = 1 << 18
_TRIES_MAX = 16
_KBPS = (
    (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
    (0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320),
)
_RATES_HZ = ((11_025, 12_000, 8_000), (), (22_050, 24_000, 16_000), (44_100, 48_000, 32_000))
_ID3V1_BYTES, _APE_BYTES, _APE = 128, 32, b"APETAGEX"
_TAGS = (b"TAG", _APE, b"LYRICSBEGIN", b"ID3", b"3DI")


def wav(data: bytes) -> bytes:
    """A wav without metadata; a length that was left open is filled in."""
    kept: dict[bytes, memoryview] = {}
    view, at = memoryview(data), 12
    for _ in range(_CHUNKS_MAX):
        if at + 8 > len(data):
            break
        name, size = struct.unpack_from("<4sI", data, at)
        open_ended = name == b"data" and size >= _OPEN_ENDED
        body = view[at + 8 :] if open_ended else view[at + 8 : at + 8 + size]
        if name in (b"fmt ", b"fact", b"data"):
            if name in kept or (len(body) < size and not open_ended):
                raise Unsafe("is damaged: a chunk comes twice or is cut short")
            kept[name] = body[:4] if name == b"fact" else body
        at += 8 + size + size % 2
    if list(kept)[:1] != [b"fmt "] or b"data" not in kept:
        raise Unsafe("does not hold one format and then its samples")
    if len(kept[b"fmt "]) > _FORMAT_BYTES_MAX:
        raise Unsafe("has a format of unknown length")
    pieces: list[bytes | memoryview] = [b"WAVE"]
    for name, body in kept.items():
        pieces += [name + struct.pack("<I", len(body)), body, bytes(len(body) % 2)]
    return b"".join([b"RIFF" + struct.pack("<I", sum(map(len, pieces))), *pieces])


def flac(data: bytes) -> bytes:
    """A flac without metadata; the table to seek by goes too."""
    at, last = 4, False
    while not last:
        kind, high, low = struct.unpack_from(">BBH", data, at)
        if kind & 0x7F == 0 and (at, high, low) != (4, 0, 34):
            raise Unsafe("does not begin with its one header")
        last = bool(kind & 0x80)
        at += 4 + (high << 16 | low)
    if data[4] & 0x7F or at > len(data):
        raise Unsafe("does not begin with its one header")
    if not _ends_with_a_frame(data, at):
        raise Unsafe("does not end with its last frame")
    return data[:4] + b"\x80" + data[5:42] + data[at:]


def _ends_with_a_frame(data: bytes, start: int) -> bool:
    """Whether some frame's checksum (x¹⁶ + x¹⁵ + x² + 1 over all of it) ends the file."""
    least, at = max(start, len(data) - _LAST_FRAME_MAX), len(data)
    table = _crc16()
    for _ in range(_TRIES_MAX):
        at = max(data.rfind(b"\xff\xf8", least, at), data.rfind(b"\xff\xf9", least, at))
        if at < 0:
            return False
        crc = 0
        for byte in data[at:]:
            crc = (crc << 8 & 0xFF00) ^ table[crc >> 8 ^ byte]
        if crc == 0:
            return True
    return False


@cache
def _crc16() -> tuple[int, ...]:
    table = []
    for byte in range(256):
        crc = byte << 8
        for _ in range(8):
            crc = crc << 1 ^ (0x8005 if crc & 0x8000 else 0)
        table.append(crc & 0xFFFF)
    return tuple(table)


def mp3(data: bytes) -> bytes:
    """An mp3 without tags."""
    start = _after_id3(data)
    at = start
    while size := _frame_bytes(data, at):
        at += size
    if at == start or not _is_tags(data[at:]):
        raise Unsafe("holds bytes that are neither frames nor a tag")
    return data[start:at]


def _is_tags(tail: bytes) -> bool:
    """Whether nothing but tags follows the last frame; one of APE may have its mark at its end."""
    if tail[-_ID3V1_BYTES:].startswith(b"TAG"):
        tail = tail[:-_ID3V1_BYTES]
    if tail[-_APE_BYTES:].startswith(_APE):
        (size,) = struct.unpack_from("<I", tail, len(tail) - _APE_BYTES + 12)
        tail = tail[:-size] if _APE_BYTES <= size <= len(tail) else tail
    return tail.startswith(_TAGS) or not tail.strip(b"\0")


def _after_id3(data: bytes) -> int:
    """Where the tags before the first frame end."""
    at = 0
    while data[at : at + 3] == b"ID3":
        flags, *digits = struct.unpack_from("5B", data, at + 5)
        size = sum(digit << shift for digit, shift in zip(digits, (21, 14, 7, 0), strict=True))
        at += 10 + size + (10 if flags & 0x10 else 0)
    while data[at : at + 1] == b"\0":
        at += 1
    return at


def _frame_bytes(data: bytes, at: int) -> int:
    """The length of the whole layer III frame here; 0: there is none."""
    if at + 4 > len(data) or data[at] != 0xFF or data[at + 1] & 0xE6 != 0xE2:
        return 0
    version, bits = data[at + 1] >> 3 & 3, data[at + 2]
    rate, speed, newest = bits >> 2 & 3, bits >> 4, version == 3
    if version == 1 or rate == 3 or speed in (0, 15):
        return 0
    slots = (144 if newest else 72) * 1_000 * _KBPS[newest][speed]
    size = slots // _RATES_HZ[version][rate] + (bits >> 1 & 1)
    return size if at + size <= len(data) else 0

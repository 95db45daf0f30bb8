"""Ogg with one stream of Vorbis or Opus: the comments become empty, the sound stays as it is.

Packets lie in pages, each with a number and a checksum. The pages of the headers are written anew;
those behind them keep their bytes and get new numbers.

Source: Ogg (RFC 3533) 6; Vorbis I specification 4.2 and 5; Opus in Ogg (RFC 7845) 3 and 5.2.
"""

import struct
import zlib
from dataclasses import dataclass, replace

from rankspace.media.strip.faults import Unsafe

_HEAD = struct.Struct("<4sBBqIIIB")
_CONTINUED, _FIRST = 1, 2
_REVERSED = bytes(int(f"{byte:08b}"[::-1], 2) for byte in range(256))


@dataclass(frozen=True, slots=True)
class _Page:
    """One page."""

    flags: int
    granule: int
    serial: int
    number: int
    lacing: bytes
    body: bytes

    def written(self) -> bytes:
        head = (self.flags, self.granule, self.serial, self.number)
        raw = _HEAD.pack(b"OggS", 0, *head, 0, len(self.lacing)) + self.lacing + self.body
        return raw[:22] + struct.pack("<I", _checksum(raw)) + raw[26:]


def ogg(data: bytes) -> bytes:
    """The file without comments."""
    pages = _pages(data)
    first = pages[0]
    if any(page.serial != first.serial or page.flags & _FIRST for page in pages[1:]):
        raise Unsafe("holds more than one stream")
    if first.body.startswith(b"OpusHead"):
        headers, tags, kept = 1, b"OpusTags", b"OpusTags" + bytes(8)
    elif first.body.startswith(b"\x01vorbis"):
        headers, tags, kept = 2, b"\x03vorbis", b"\x03vorbis" + bytes(8) + b"\1"
    else:
        raise Unsafe("holds neither Vorbis nor Opus")
    packets, used = _packets(pages[1:], headers)
    if not packets[0].startswith(tags):
        raise Unsafe("does not have its comments where they belong")
    anew = _paged([kept, *packets[1:]], first)
    shift = len(anew) - used
    rest = [replace(page, number=page.number + shift) for page in pages[1 + used :]]
    return b"".join(page.written() for page in (first, *anew, *rest))


def _pages(data: bytes) -> list[_Page]:
    """Every page; what follows the last one is left out."""
    pages: list[_Page] = []
    at = 0
    while data[at : at + 4] == b"OggS":
        head = _HEAD.unpack_from(data, at)
        version, checksum, segments = head[1], head[6], head[7]
        lacing = data[at + _HEAD.size : at + _HEAD.size + segments]
        begin = at + _HEAD.size + segments
        end = begin + sum(lacing)
        if version or end > len(data) or len(lacing) != segments:
            raise Unsafe("is cut short")
        raw = data[at : at + 22] + bytes(4) + data[at + 26 : end]
        if _checksum(raw) != checksum:
            raise Unsafe("is damaged: a checksum does not hold")
        flags, granule, serial, number = head[2:6]
        pages.append(_Page(flags, granule, serial, number, lacing, data[begin:end]))
        at = end
    if data.find(b"OggS", at) >= 0:
        raise Unsafe("is damaged: bytes lie between its pages")
    return pages


def _packets(pages: list[_Page], count: int) -> tuple[list[bytes], int]:
    """The packets of the headers, and how many pages they fill; nothing else may lie in these."""
    packets, packet = [], b""
    for used, page in enumerate(pages, 1):
        if bool(page.flags & _CONTINUED) != bool(packet):
            raise Unsafe("is damaged: a packet is broken off")
        at = 0
        for size in page.lacing:
            packet += page.body[at : at + size]
            at += size
            if size < 255:
                packets.append(packet)
                packet = b""
        if len(packets) >= count:
            if len(packets) > count or packet:
                raise Unsafe("has sound in the pages of its headers")
            return packets, used
    raise Unsafe("is cut short in its headers")


def _paged(packets: list[bytes], first: _Page) -> list[_Page]:
    """Packets in as few pages as they need; the position of a page that ends none is -1."""
    lacing = b"".join(
        b"\xff" * (len(packet) // 255) + bytes([len(packet) % 255]) for packet in packets
    )
    body, at = b"".join(packets), 0
    pages: list[_Page] = []
    for start in range(0, len(lacing), 255):
        piece = lacing[start : start + 255]
        whole = any(size < 255 for size in piece)
        continued = _CONTINUED if start and lacing[start - 1] == 255 else 0
        end = at + sum(piece)
        number = first.number + 1 + len(pages)
        pages.append(
            _Page(continued, 0 if whole else -1, first.serial, number, piece, body[at:end])
        )
        at = end
    return pages


def _checksum(raw: bytes) -> int:
    """CRC-32 with its highest bit first: that of zlib on bytes read backwards, read backwards."""
    crc = zlib.crc32(raw.translate(_REVERSED), 0xFFFF_FFFF) ^ 0xFFFF_FFFF
    return int(f"{crc:032b}"[::-1], 2)

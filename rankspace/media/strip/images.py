"""Pictures: a short list of what belongs to the pixels stays, everything else goes.

    jpeg   tables, frames, scans, the bare JFIF and Adobe marks, the colour profile
    png    the chunks that a viewer draws by, animation included
    gif    screen, palettes, frames with their times, how often to loop, the colour profile
    webp   pictures, animation, the colour profile

The turn that EXIF asks for stays, in an EXIF of its own. What follows the end of the picture goes.

Source: JPEG (ITU-T T.81) B.1, JFIF 1.02; PNG (W3C, third edition) 5 and 11; GIF89a 17 to 26; WebP
(RFC 9649) 2.
"""

import re
import struct
import zlib
from collections.abc import Iterator

from rankspace.media.strip.exif import MARK, orientation, turned
from rankspace.media.strip.faults import Unsafe

_SEGMENTS_MAX = 10_000
_START, _END, _SCAN = 0xD8, 0xD9, 0xDA
_APP0, _APP1, _APP2, _APP14, _COMMENT = 0xE0, 0xE1, 0xE2, 0xEE, 0xFE
_BARE = frozenset({0x01, *range(0xD0, 0xD8)})
_DROPPED = frozenset({*range(0xE0, 0xF0), _COMMENT}) - {_APP0, _APP2, _APP14}
_TABLES = frozenset({*range(0xC0, 0xD0), 0xDA, 0xDB, 0xDC, 0xDD}) - {0xC8}
_MARK = re.compile(rb"\xff[^\x00\xd0-\xd7\xff]")
"""What ends a scan: a mark that is neither a stuffed byte, a restart nor a fill byte."""

_PNG_KEPT = frozenset(
    b"IHDR PLTE IDAT IEND tRNS gAMA cHRM sRGB iCCP sBIT bKGD pHYs cICP mDCV cLLI".split()
    + b"acTL fcTL fdAT".split()  # animation
)
_GIF_LOOPS, _GIF_COLOURS = (b"NETSCAPE2.0", b"ANIMEXTS1.0"), b"ICCRGBG1012"
_WEBP_KEPT = frozenset({b"VP8X", b"ICCP", b"ANIM", b"ANMF", b"ALPH", b"VP8 ", b"VP8L"})
_WEBP_EXIF, _WEBP_FLAGS = 0x08, 0x32  # colour profile, alpha, animation


def jpeg(data: bytes) -> bytes:
    """A jpeg without metadata."""
    out, exif, scanned, at = [data[:2]], b"", False, 2
    for _ in range(_SEGMENTS_MAX):
        kind, at = _jpeg_mark(data, at)
        if kind == _END:
            turn = _jpeg_segment(_APP1, turned(orientation(exif)))
            after = 1 + (out[1][:2] == b"\xff\xe0")
            return b"".join([*out[:after], turn, *out[after:], b"\xff\xd9"])
        if kind in _BARE:
            continue
        (size,) = struct.unpack_from(">H", data, at)
        body = data[at + 2 : at + size]
        if size < 2 or len(body) != size - 2:
            raise Unsafe("is cut short")
        at += size
        if kind == _APP1 and not scanned and body.startswith(MARK):
            exif += body if not exif else body.removeprefix(MARK)
        out.append(_jpeg_segment(kind, _jpeg_body(kind, body)))
        if kind == _SCAN:
            scanned = True
            found = _MARK.search(data, at)
            if found is None:
                raise Unsafe("is cut short")
            out.append(data[at : found.start()])
            at = found.start()
    raise Unsafe(f"holds more than {_SEGMENTS_MAX} segments")


def _jpeg_mark(data: bytes, at: int) -> tuple[int, int]:
    """The kind of the segment here, and where it goes on."""
    if data[at : at + 1] != b"\xff":
        raise Unsafe("is damaged: bytes lie between its segments")
    while at < len(data) and data[at] == 0xFF:  # fill bytes
        at += 1
    if at == len(data):
        raise Unsafe("is cut short")
    return data[at], at + 1


def _jpeg_body(kind: int, body: bytes) -> bytes:
    """What stays of a segment; b"": nothing."""
    if kind in _TABLES:
        return body
    if kind == _APP0 and body.startswith(b"JFIF\0") and len(body) >= 14:
        return body[:12] + b"\0\0"  # no thumbnail
    if kind == _APP14 and body.startswith(b"Adobe") and len(body) >= 12:
        return body[:12]
    if kind == _APP2 and body.startswith(b"ICC_PROFILE\0"):
        return body
    if kind in _DROPPED or kind in (_APP0, _APP2, _APP14):
        return b""
    raise Unsafe("holds a segment of an unknown kind")


def _jpeg_segment(kind: int, body: bytes) -> bytes:
    return struct.pack(">BBH", 0xFF, kind, 2 + len(body)) + body if body else b""


def png(data: bytes) -> bytes:
    """A png without metadata; its critical checksums hold and its end is there."""
    out, exif, at = [memoryview(data)[:8]], b"", 8
    while at + 12 <= len(data):
        size, name = struct.unpack_from(">I4s", data, at)
        end = at + 12 + size
        chunk = memoryview(data)[at:end]
        if not name[0] & 0x20 and chunk[-4:] != zlib.crc32(chunk[4:-4]).to_bytes(4, "big"):
            raise Unsafe("is damaged: a checksum does not hold")
        if name == b"IEND":
            turn = turned(orientation(MARK + exif)).removeprefix(MARK)
            written = [_png_chunk(b"eXIf", turn)] if turn else []
            return b"".join([*out[:2], *written, *out[2:], _png_chunk(b"IEND", b"")])
        if name == b"eXIf":
            exif = bytes(chunk[8:-4])
        elif name in _PNG_KEPT:
            out.append(chunk)
        elif not name[0] & 0x20:
            raise Unsafe("holds a critical chunk of an unknown kind")
        at = end
    raise Unsafe("is cut short: its end is missing")


def _png_chunk(name: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))


def gif(data: bytes) -> bytes:
    """A gif without metadata."""
    at = 13 + _palette(data[10])
    out = [data[:at]]
    while True:
        mark = data[at]
        if mark == 0x3B:
            return b"".join([*out, b";"])
        if mark == 0x2C:
            head = at + 10 + _palette(data[at + 9])
            end = _blocks_end(data, head + 1)
            out.append(data[at:end])
        elif mark == 0x21:
            end = _blocks_end(data, at + 2)
            out.append(_gif_extension(data[at:end]))
        else:
            raise Unsafe("is damaged: bytes lie between its blocks")
        at = end


def _palette(flags: int) -> int:
    """Bytes of the palette that these flags announce."""
    return 3 << (flags & 7) + 1 if flags & 0x80 else 0


def _blocks_end(data: bytes, at: int) -> int:
    """Where the blocks that begin here end; the last one is empty."""
    while data[at]:
        at += 1 + data[at]
    return at + 1


def _gif_extension(block: bytes) -> bytes:
    """What stays of an extension, its mark and label included."""
    label, name = block[1], block[3:14]
    if label == 0xF9 or (label == 0xFF and name == _GIF_COLOURS):
        return block
    if label == 0xFF and name in _GIF_LOOPS and block[14:16] == b"\3\1":
        return block[:18] + b"\0"
    return b""


def webp(data: bytes) -> bytes:
    """A webp without metadata."""
    (size,) = struct.unpack_from("<I", data, 4)
    if size + 8 > len(data):
        raise Unsafe("is cut short")
    chunks = list(_riff(data, 12, size + 8))
    if any(name == b"VP8X" for name, _ in chunks[1:]):
        raise Unsafe("does not begin with its header")
    exif = b""
    if chunks and chunks[0][0] == b"VP8X" and chunks[0][1][0] & _WEBP_EXIF:
        exif = next((body for name, body in chunks if name == b"EXIF"), b"")
    turn = turned(orientation(exif)).removeprefix(MARK)
    kept = [
        _chunk(name, _webp_body(name, body, bool(turn)))
        for name, body in chunks
        if name in _WEBP_KEPT
    ]
    whole = b"".join([b"WEBP", *kept, _chunk(b"EXIF", turn) if turn else b""])
    return b"RIFF" + struct.pack("<I", len(whole)) + whole


def _webp_body(name: bytes, body: bytes, turns: bool) -> bytes:
    """What stays of a chunk."""
    if name == b"VP8X":
        flags = body[0] & _WEBP_FLAGS | (_WEBP_EXIF if turns else 0)
        return bytes([flags, 0, 0, 0]) + body[4:10]
    if name == b"ANMF":
        inner = _riff(body, 16, len(body))
        return body[:16] + b"".join(_chunk(*one) for one in inner if one[0] in _WEBP_KEPT)
    return body


def _riff(data: bytes, at: int, end: int) -> Iterator[tuple[bytes, bytes]]:
    """Names and bodies of the chunks here."""
    while at < end:
        name, size = struct.unpack_from("<4sI", data, at)
        if at + 8 + size > end:
            raise Unsafe("is cut short")
        yield name, data[at + 8 : at + 8 + size]
        at += 8 + size + size % 2


def _chunk(name: bytes, body: bytes) -> bytes:
    return name + struct.pack("<I", len(body)) + body + bytes(len(body) % 2)

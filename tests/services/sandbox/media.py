"""Media that are hard on decoders, for tests."""

import struct
import zlib

from rankspace.media import encode
from rankspace.media.sample import Frame
from tests.worlds import picture


def many_chunks() -> bytes:
    """A small png in millions of empty chunks: seconds of reading."""
    png = encode.png(picture(1))
    chunk = struct.pack(">I4sI", 0, b"IDAT", zlib.crc32(b"IDAT"))
    return png[:33] + chunk * 2_500_000 + png[33:]


def slow_frames(count: int = 1_500) -> tuple[Frame, ...]:
    """Pictures whose size lies behind thousands of empty segments each: seconds for the headers."""
    jpeg = encode.jpeg(picture(1))
    long = jpeg[:2] + b"\xff\xfe\x00\x02" * 9_000 + jpeg[2:]
    return tuple(Frame(at, long) for at in range(count))

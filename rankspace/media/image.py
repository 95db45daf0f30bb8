"""Pictures in: png, jpeg, webp, gif → uint8 [H, W, 3].

The size is read here from the header, before Pillow (which may allocate on opening) sees the file;
only the four decoders named here can run. The turn that EXIF asks for is applied, alpha is laid on
white, 16 bits become 8, an animation gives its first frame. Colour profiles and gamma are ignored.

Source: PNG (W3C) 5.3 and 11.2; JPEG (ITU-T T.81) B.1; WebP (RFC 9649) 2; GIF89a 18.
"""

import struct
import zlib
from collections.abc import Callable, Mapping
from io import BytesIO
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from PIL.GifImagePlugin import GifImageFile
from PIL.ImageFile import ImageFile
from PIL.JpegImagePlugin import JpegImageFile
from PIL.PngImagePlugin import PngImageFile
from PIL.WebPImagePlugin import WebPImageFile

from rankspace.errors import LimitExceeded, MalformedMedia
from rankspace.media.clip import Pixels, Probe
from rankspace.media.limits import Limits, bounded
from rankspace.media.magic import encoding_of
from rankspace.media.sample import Part
from rankspace.media.strip.exif import orientation
from rankspace.media.strip.whole import bare, stripped

_OPENERS: Mapping[str, Callable[[BytesIO], ImageFile]] = MappingProxyType(
    {"png": PngImageFile, "jpeg": JpegImageFile, "webp": WebPImageFile, "gif": GifImageFile}
)
_DAMAGE = (
    OSError,
    SyntaxError,
    ValueError,
    LookupError,
    EOFError,
    OverflowError,
    struct.error,
    zlib.error,
)
"""What Pillow raises for files that are not what they say."""

_BOMB = (Image.DecompressionBombError, Image.DecompressionBombWarning)

_SOF = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_BARE = frozenset({0x01, *range(0xD0, 0xD9)})
_SEGMENTS_MAX = 10_000
"""Steps to the size of a jpeg; a real one takes some ten. It may hold millions of empty ones."""


def probe(part: Part, limits: Limits) -> Probe:
    """What the header says. Raises MalformedMedia or LimitExceeded."""
    encoding = encoding_of(part)
    bounded("bytes in the part", len(part.data), limits.part_bytes_max)
    try:
        width, height = _SIZES[encoding](part.data)
    except struct.error as error:
        raise MalformedMedia(f"the {encoding} is cut short in its header", "data") from error
    _check_size(width, height, limits)
    return Probe("image", encoding, width=width, height=height, decoded_bytes=3 * width * height)


def in_order(encoding: str, data: bytes, limits: Limits) -> bool:
    """Whether `probe` takes a picture of this encoding, which its first bytes bear out."""
    try:
        width, height = _SIZES[encoding](data)
    except (MalformedMedia, struct.error):
        return False
    whole = len(data) <= limits.part_bytes_max
    return whole and width > 0 and height > 0 and width * height <= _most(limits)


def decode(part: Part, limits: Limits) -> Pixels:
    """The picture as uint8 [H, W, 3]. Raises MalformedMedia or LimitExceeded."""
    encoding = probe(part, limits).encoding
    # Pillow sees no metadata, which it would read and, in a png, mix up with what it knows of the
    # picture. Of a png checksums hold and the end is there, both of which it would forgive.
    data = (stripped if encoding == "png" else bare)(part.data, encoding)
    try:
        with _OPENERS[encoding](BytesIO(data)) as image:
            # The file may hold another size than the header told us, and nothing is allocated yet.
            _check_size(*image.size, limits)
            image.load()
            turn = orientation(image.info.get("exif", b""))
            return np.ascontiguousarray(_TURNS[turn](_rgb(image)))
    except _BOMB as error:
        most = limits.image_pixels_max
        raise LimitExceeded(f"pixels: far more than the {most} that are taken", "data") from error
    except _DAMAGE as error:
        raise MalformedMedia(f"the {encoding} is damaged or cut short", "data") from error


def _check_size(width: int, height: int, limits: Limits) -> None:
    if width < 1 or height < 1:
        raise MalformedMedia("a picture is at least 1 by 1", "data")
    bounded("pixels", width * height, _most(limits))


def _most(limits: Limits) -> int:
    """Pixels of one picture."""
    return min(limits.image_pixels_max, limits.decoded_bytes_max // 3)


def _png_size(data: bytes) -> tuple[int, int]:
    name, width, height = struct.unpack_from(">4sII", data, 12)
    if name != b"IHDR":
        raise MalformedMedia("the png does not begin with its header", "data")
    return width, height


def _gif_size(data: bytes) -> tuple[int, int]:
    return struct.unpack_from("<HH", data, 6)


def _webp_size(data: bytes) -> tuple[int, int]:
    kind = data[12:16]
    if kind == b"VP8 ":
        width, height = struct.unpack_from("<HH", data, 26)
        return width & 0x3FFF, height & 0x3FFF
    if kind == b"VP8L":
        (bits,) = struct.unpack_from("<I", data, 21)
        return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
    if kind == b"VP8X":
        low_w, high_w, low_h, high_h = struct.unpack_from("<HBHB", data, 24)
        return (high_w << 16 | low_w) + 1, (high_h << 16 | low_h) + 1
    raise MalformedMedia("the webp holds no picture", "data")


def _jpeg_size(data: bytes) -> tuple[int, int]:
    at = 2
    for _ in range(_SEGMENTS_MAX):
        mark, kind = struct.unpack_from("BB", data, at)
        if mark != 0xFF:
            raise MalformedMedia("the jpeg is damaged in its header", "data")
        if kind in _SOF:
            height, width = struct.unpack_from(">HH", data, at + 5)
            return width, height
        if kind == 0xFF:  # a fill byte
            at += 1
        elif kind in _BARE:
            at += 2
        else:
            at += 2 + struct.unpack_from(">H", data, at + 2)[0]
    raise MalformedMedia("the jpeg has no size within its first 10,000 segments", "data")


_SIZES: Mapping[str, Callable[[bytes], tuple[int, int]]] = MappingProxyType(
    {"png": _png_size, "jpeg": _jpeg_size, "webp": _webp_size, "gif": _gif_size}
)


_TURNS: Mapping[int, Callable[[Pixels], Pixels]] = MappingProxyType(
    {
        1: lambda x: x,
        2: lambda x: x[:, ::-1],
        3: lambda x: x[::-1, ::-1],
        4: lambda x: x[::-1],
        5: lambda x: x.transpose(1, 0, 2),
        6: lambda x: np.rot90(x, -1),
        7: lambda x: x[::-1, ::-1].transpose(1, 0, 2),
        8: lambda x: np.rot90(x),
    }
)


def _rgb(image: Image.Image) -> Pixels:
    if image.mode.startswith("I"):
        return _grey16(np.asarray(image), image.info.get("transparency"))
    if "A" in image.mode.upper() or "transparency" in image.info:
        return _on_white(np.asarray(image.convert("RGBA")))
    return np.asarray(image.convert("RGB"))


def _grey16(levels: NDArray[np.generic], clear: object) -> Pixels:
    """Pillow would clip 16 bits at 255 instead of scaling them."""
    grey = (levels.astype(np.int32) >> 8).clip(0, 255).astype(np.uint8)
    if isinstance(clear, int):
        grey[levels == clear] = 255
    return np.repeat(grey[:, :, None], 3, axis=2)


def _on_white(rgba: NDArray[np.uint8]) -> Pixels:
    alpha = rgba[..., 3:].astype(np.uint16)
    mixed = rgba[..., :3] * alpha + 255 * (255 - alpha)
    return ((mixed + 127) // 255).astype(np.uint8)

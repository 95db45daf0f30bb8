"""Pictures in: exact where the file is, upright, on white, refused when damaged or too large."""

import struct
import zlib
from io import BytesIO

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from PIL import Image, ImageOps

from rankspace.errors import LimitExceeded, MalformedMedia
from rankspace.media import encode
from rankspace.media.clip import Pixels
from rankspace.media.image import decode, probe
from rankspace.media.limits import Limits
from rankspace.media.sample import Part

LIMITS = Limits()
pictures = hnp.arrays(np.uint8, st.tuples(st.integers(1, 24), st.integers(1, 24), st.just(3)))
X, Y = np.meshgrid(np.arange(40), np.arange(30))
RAMP = np.stack([6 * X, 8 * Y, 3 * (X + Y)], axis=-1).astype(np.uint8)


def saved(image: Image.Image, form: str, **options: object) -> Part:
    out = BytesIO()
    image.save(out, form, **options)
    return Part("image", out.getvalue())


def chunk(name: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))


def png(width: int, height: int, *chunks: bytes) -> Part:
    """A 1-bit grey png of these chunks between header and end."""
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0))
    return Part("image", b"\x89PNG\r\n\x1a\n" + header + b"".join(chunks) + chunk(b"IEND", b""))


@given(pictures)
def test_png_round_trips_exactly(pixels: Pixels) -> None:
    part = Part("image", encode.png(pixels), "png")
    np.testing.assert_array_equal(decode(part, LIMITS), pixels)


@given(pictures, st.sampled_from(["png", "jpeg", "webp"]))
def test_the_probe_tells_the_size_of_what_is_decoded(pixels: Pixels, name: str) -> None:
    part = Part("image", getattr(encode, name)(pixels))
    seen = probe(part, LIMITS)
    decoded = decode(part, LIMITS)
    assert (seen.encoding, seen.height, seen.width) == (name, *pixels.shape[:2])
    assert seen.decoded_bytes == decoded.nbytes
    assert decoded.shape == pixels.shape


@pytest.mark.parametrize("name", ["jpeg", "webp"])
def test_lossy_pictures_stay_close(name: str) -> None:
    decoded = decode(Part("image", getattr(encode, name)(RAMP)), LIMITS)
    assert np.abs(decoded.astype(int) - RAMP).mean() < 4


@pytest.mark.parametrize("lossless", [True, False])
@pytest.mark.parametrize("exif", [b"", b"Exif\0\0II"])
def test_every_kind_of_webp_tells_its_size(lossless: bool, exif: bytes) -> None:
    part = saved(Image.fromarray(RAMP), "WEBP", lossless=lossless, exif=exif)
    assert (probe(part, LIMITS).width, probe(part, LIMITS).height) == (40, 30)


@pytest.mark.parametrize("turn", range(10))
@pytest.mark.parametrize("form", ["JPEG", "PNG", "WEBP"])
def test_pictures_are_upright(turn: int, form: str) -> None:
    exif = Image.Exif()
    exif[0x0112] = turn
    part = saved(Image.fromarray(RAMP), form, exif=exif)
    with Image.open(BytesIO(part.data)) as image:
        wanted = np.asarray(ImageOps.exif_transpose(image).convert("RGB"))
    np.testing.assert_array_equal(decode(part, LIMITS), wanted)


@pytest.mark.parametrize("exif", [b"Exif\0\0II*\0\xff\xff\0\0", b"Exif\0\0MM", b"Exif\0\0", b"?"])
def test_broken_decoration_does_not_break_the_picture(exif: bytes) -> None:
    part = saved(Image.fromarray(RAMP), "PNG", exif=exif)
    np.testing.assert_array_equal(decode(part, LIMITS), RAMP)


def test_what_is_clear_is_white() -> None:
    alpha = np.array([[0, 51, 255]], np.uint8)
    rgba = np.dstack([np.zeros((1, 3, 3), np.uint8), alpha])
    wanted = np.repeat((255 - alpha)[..., None], 3, axis=-1)
    np.testing.assert_array_equal(decode(saved(Image.fromarray(rgba), "PNG"), LIMITS), wanted)
    grey = Image.fromarray(np.dstack([np.zeros_like(alpha), alpha]))
    np.testing.assert_array_equal(decode(saved(grey, "PNG"), LIMITS), wanted)


@pytest.mark.parametrize("mode", ["1", "L", "P"])
def test_a_clear_colour_is_white(mode: str) -> None:
    image = Image.new(mode, (2, 1), 0)
    image.putpixel((1, 0), 1 if mode != "L" else 9)
    if mode == "P":
        image.putpalette([10, 20, 30, 40, 50, 60])
    for form in ("PNG", "GIF"):
        decoded = decode(saved(image, form, transparency=0), LIMITS)
        assert decoded[0, 0].tolist() == [255] * 3


def test_sixteen_bits_become_eight() -> None:
    levels = np.array([[0, 0x1234, 0x80FF, 0xFFFF]], np.uint16)
    decoded = decode(saved(Image.fromarray(levels), "PNG"), LIMITS)
    assert decoded[0].tolist() == [[0] * 3, [0x12] * 3, [0x80] * 3, [255] * 3]
    clear = decode(saved(Image.fromarray(levels), "PNG", transparency=0x1234), LIMITS)
    assert clear[0, :3].tolist() == [[0] * 3, [255] * 3, [0x80] * 3]


def test_printing_colours_become_screen_colours() -> None:
    ink = Image.fromarray(RAMP).convert("CMYK")
    decoded = decode(saved(ink, "JPEG", quality=95), LIMITS)
    assert np.abs(decoded.astype(int) - RAMP).mean() < 4


def test_an_animation_gives_its_first_frame() -> None:
    part = Part("image", encode.gif([RAMP // 2, RAMP], 5))
    assert np.abs(decode(part, LIMITS).astype(int) - RAMP // 2).mean() < 4


@pytest.mark.parametrize("name", ["png", "jpeg", "webp"])
@given(st.data())
def test_a_picture_that_is_cut_short_is_refused(name: str, data: st.DataObject) -> None:
    whole = getattr(encode, name)(RAMP)
    kept = data.draw(st.integers(0, len(whole) - 3))
    with pytest.raises(MalformedMedia):
        decode(Part("image", whole[:kept], name), LIMITS)


@given(st.integers(33, 400), st.integers(0, 7))
def test_a_flipped_bit_in_a_png_is_noticed(at: int, bit: int) -> None:
    data = bytearray(encode.png(RAMP))
    data[at % (len(data) - 12)] ^= 1 << bit
    with pytest.raises((MalformedMedia, LimitExceeded)):
        decode(Part("image", bytes(data)), LIMITS)


def test_too_many_pixels_are_refused_by_the_header_alone() -> None:
    rows = zlib.compress(bytes(20_000 // 8 + 1) * 20_000)
    bombs = [
        png(20_000, 20_000, chunk(b"IDAT", rows)),
        Part("image", b"GIF89a" + struct.pack("<HH", 65535, 65535) + bytes(40)),
        Part("image", b"RIFF\x1e\0\0\0WEBPVP8X\x0a\0\0\0" + bytes(4) + b"\xff" * 6),
        Part("image", b"\xff\xd8\xff\xc0\0\x11\x08\xff\xff\xff\xff" + bytes(20)),
    ]
    for bomb in bombs:
        with pytest.raises(LimitExceeded, match="pixels"):
            probe(bomb, LIMITS)


@pytest.mark.parametrize("size", [(0, 1), (1, 0)])
def test_an_empty_picture_is_refused(size: tuple[int, int]) -> None:
    with pytest.raises(MalformedMedia, match="at least 1 by 1"):
        probe(png(*size), LIMITS)


def test_a_gif_frame_larger_than_its_canvas_is_held_to_the_limits() -> None:
    frame = b"," + struct.pack("<HHHHB", 0, 0, 60_000, 60_000, 0) + b"\x02\x02\x4c\x01\0;"
    canvas = b"GIF89a" + struct.pack("<HH", 1, 1) + b"\x80\0\0" + bytes(6)
    with pytest.raises(LimitExceeded, match="pixels"):
        decode(Part("image", canvas + frame), LIMITS)


@pytest.mark.parametrize("key", [b"k", b"exif", b"transparency", b"gamma", b"bbox"])
@pytest.mark.parametrize("kind", [b"tEXt", b"zTXt"])
def test_texts_in_a_png_are_never_opened(kind: bytes, key: bytes) -> None:
    bomb = b"\0" + zlib.compress(bytes(2**23)) if kind == b"zTXt" else b"II*\0" * 9
    pixel = chunk(b"IDAT", zlib.compress(b"\0\x80"))
    found = decode(png(1, 1, chunk(kind, key + b"\0" + bomb), pixel), LIMITS)
    np.testing.assert_array_equal(found, np.full((1, 1, 3), 255, np.uint8))


def test_other_formats_of_the_library_stay_shut() -> None:
    for form in ("BMP", "TIFF", "PPM", "EPS"):
        with pytest.raises(MalformedMedia, match="of no known kind"):
            decode(saved(Image.fromarray(RAMP), form), LIMITS)

"""Media may name places to fetch from and tell who made them: nobody goes there, nobody learns it.

A listener on loopback and a file on disk stand for the places.
"""

import socket
import struct
from collections.abc import Callable, Iterator
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from rankspace.errors import InvalidInput
from rankspace.media import decode, encode
from rankspace.media.clip import Clip
from rankspace.media.limits import Limits
from rankspace.media.probe import probe
from rankspace.media.sample import Part
from tests.worlds import picture, tone

LIMITS = Limits()
WAVE, PIXELS = tone(400), picture(1, side=16)
CONTAINERS = (b"moov", b"trak", b"mdia", b"minf", b"dinf")


def box(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I4s", 8 + len(body), kind) + body


def referring(mp4: bytes, kind: bytes, url: bytes) -> bytes:
    """The mp4 with all of its data elsewhere (ISO/IEC 14496-12, 8.7.2)."""
    out, at = b"", 0
    while at + 8 <= len(mp4):
        size, name = struct.unpack_from(">I4s", mp4, at)
        body = mp4[at + 8 : at + size]
        if name in CONTAINERS:
            body = referring(body, kind, url)
        elif name == b"dref":
            body = struct.pack(">II", 0, 1) + box(kind, bytes(4) + url + b"\0")
        out += box(name, body)
        at += size
    return out


def id3(frame: bytes, body: bytes) -> bytes:
    whole = frame + struct.pack(">IH", len(body), 0) + body
    size = len(whole)
    return b"ID3\3\0\0" + bytes(size >> shift & 0x7F for shift in (21, 14, 7, 0)) + whole


def flac_picture(url: bytes) -> bytes:
    """A picture that is a link (FLAC, METADATA_BLOCK_PICTURE; ID3v2.3 4.15: "-->")."""
    flac = encode.flac(WAVE)
    body = (
        struct.pack(">II", 3, 3) + b"-->" + struct.pack(">IIIIII", 0, 1, 1, 24, 0, len(url)) + url
    )
    block = struct.pack(">I", 6 << 24 | len(body)) + body
    return flac[:4] + flac[4:42] + block + flac[42:]


def exif_jpeg(url: bytes) -> bytes:
    out, exif = BytesIO(), Image.Exif()
    exif[0x8825] = {1: "N", 2: (59.0, 56.0, 1.0), 3: "E", 4: (30.0, 18.0, 1.0)}
    exif[0x010E] = url.decode()
    Image.fromarray(PIXELS).save(out, "JPEG", quality=90, exif=exif, comment=url)
    xmp = b"http://ns.adobe.com/xap/1.0/\0<x:xmpmeta><a href='" + url + b"'/></x:xmpmeta>"
    jpeg = out.getvalue()
    return jpeg[:2] + b"\xff\xe1" + struct.pack(">H", 2 + len(xmp)) + xmp + jpeg[2:]


def texts_png(url: bytes) -> bytes:
    out, texts = BytesIO(), PngInfo()
    texts.add_text("URL", url.decode())
    texts.add_itxt("XML:com.adobe.xmp", url.decode(), zip=True)
    Image.fromarray(PIXELS).save(out, "PNG", pnginfo=texts)
    return out.getvalue()


def tagged_wav(url: bytes) -> bytes:
    text = url + b"\0" * (1 + (len(url) + 1) % 2)
    info = b"INFO" + b"ICMT" + struct.pack("<I", len(text)) + text
    wav = encode.wav(WAVE)
    chunk = b"LIST" + struct.pack("<I", len(info)) + info
    whole = wav[:12] + chunk + wav[12:]
    return whole[:4] + struct.pack("<I", len(whole) - 8) + whole[8:]


def tagged_mp4(url: bytes) -> bytes:
    """A comment and a place in user data (QuickTime, "udta")."""
    mp4 = encode.mp4([PIXELS, PIXELS], 2)
    at = mp4.index(b"moov") - 4
    (size,) = struct.unpack_from(">I", mp4, at)
    texts = [(b"\xa9cmt", url), (b"\xa9xyz", b"+59.9+030.3/")]
    udta = box(b"udta", b"".join(box(k, struct.pack(">HH", len(v), 0) + v) for k, v in texts))
    return mp4[:at] + struct.pack(">I", size + len(udta)) + mp4[at + 4 : at + size] + udta


REFUSED: dict[str, Callable[[bytes], Part]] = {
    "svg": lambda url: Part("image", b"<svg xmlns:x='http://www.w3.org/1999/xlink'><image x:href='"
                            + url + b"'/></svg>"),
    "m3u8": lambda url: Part("video", b"#EXTM3U\n#EXTINF:1,\n" + url + b"\n"),
    "m3u8 as mp3": lambda url: Part("audio", b"#EXTM3U\n" + url, "mp3"),
    "ffconcat": lambda url: Part("video", b"ffconcat version 1.0\nfile '" + url + b"'\n"),
    "sdp": lambda url: Part("video", b"v=0\no=- 0 0 IN IP4 127.0.0.1\nc=IN IP4 127.0.0.1\n" + url),
    "asx": lambda url: Part("video", b"<asx><entry><ref href='" + url + b"'/></entry></asx>"),
    "dash": lambda url: Part("video", b"<MPD><BaseURL>" + url + b"</BaseURL></MPD>"),
    "eps": lambda url: Part("image", b"%!PS-Adobe-3.0 EPSF-3.0\n(" + url + b") run\n"),
    "a playlist in an mp4's coat": lambda url: Part(
        "video", box(b"ftyp", b"isom\0\0\2\0") + b"#EXTM3U\n" + url
    ),
}  # fmt: skip
DECODED: dict[str, tuple[Callable[[bytes], Part], Callable[[], Part]]] = {
    "jpeg": (lambda url: Part("image", exif_jpeg(url)), lambda: Part("image", encode.jpeg(PIXELS))),
    "png": (lambda url: Part("image", texts_png(url)), lambda: Part("image", encode.png(PIXELS))),
    "wav": (lambda url: Part("audio", tagged_wav(url)), lambda: Part("audio", encode.wav(WAVE))),
    "flac": (
        lambda url: Part("audio", flac_picture(url)),
        lambda: Part("audio", encode.flac(WAVE)),
    ),
    "mp3": (
        lambda url: Part("audio", id3(b"WXXX", b"\0\0" + url) + encode.mp3(WAVE)),
        lambda: Part("audio", encode.mp3(WAVE)),
    ),
    "mp4": (
        lambda url: Part("video", tagged_mp4(url)),
        lambda: Part("video", encode.mp4([PIXELS, PIXELS], 2)),
    ),
}


@pytest.fixture
def place() -> Iterator[tuple[socket.socket, bytes]]:
    """A listener, and where it is."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.setblocking(False)
        yield listener, b"http://127.0.0.1:%d/x.mp4" % listener.getsockname()[1]


def assert_nobody_came(listener: socket.socket) -> None:
    with pytest.raises(BlockingIOError):
        listener.accept()


def flat(found: decode.Decoded) -> bytes:
    if isinstance(found, Clip):
        return b"".join(frame.pixels.tobytes() for frame in found.frames) + found.audio.tobytes()
    return np.asarray(found).tobytes()


@pytest.mark.parametrize("name", REFUSED)
def test_what_only_names_other_places_is_refused(
    name: str, place: tuple[socket.socket, bytes], tmp_path: Path
) -> None:
    secret = tmp_path / "secret.mp4"
    secret.write_bytes(encode.mp4([PIXELS], 1))
    for url in (place[1], secret.as_uri().encode(), str(secret).encode()):
        for read in (probe, decode.media):
            with pytest.raises(InvalidInput) as caught:
                read(REFUSED[name](url), LIMITS)
            assert "secret" not in caught.value.message
    assert_nobody_came(place[0])


@pytest.mark.parametrize("kind", [b"url ", b"urn ", b"alis", b"rsrc"])
def test_a_film_whose_data_are_elsewhere_is_not_followed(
    kind: bytes, place: tuple[socket.socket, bytes], tmp_path: Path
) -> None:
    whole = encode.mp4([PIXELS, PIXELS], 2, WAVE)
    other = tmp_path / "other.mp4"
    other.write_bytes(encode.mp4([255 - PIXELS] * 2, 2, WAVE))
    for url in (place[1], other.as_uri().encode(), str(other).encode()):
        part = Part("video", referring(whole, kind, url))
        assert url in part.data
        try:
            found = decode.media(part, LIMITS)
        except InvalidInput:
            continue
        assert flat(found) == flat(decode.media(Part("video", whole), LIMITS))
    assert_nobody_came(place[0])


@pytest.mark.parametrize("name", DECODED)
def test_what_is_decoded_knows_nothing_of_who_made_it_or_where(
    name: str, place: tuple[socket.socket, bytes]
) -> None:
    tagged, plain = DECODED[name]
    part = tagged(place[1])
    assert place[1][:20] in part.data
    probe(part, LIMITS)
    assert flat(decode.media(part, LIMITS)) == flat(decode.media(plain(), LIMITS))
    assert_nobody_came(place[0])

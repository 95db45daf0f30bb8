"""Films: tracks of places and texts go with what they hold, and nothing moves."""

import struct
from io import BytesIO

import av
import numpy as np
import pytest

from rankspace.errors import MalformedMedia
from rankspace.media import decode, encode
from rankspace.media.clip import Clip
from rankspace.media.limits import Limits
from rankspace.media.sample import Part
from rankspace.media.strip.whole import strip
from tests.media.strip.planted import FRAMES, SECRET, WAVE, film
from tests.media.test_references import box, referring

LIMITS = Limits()


def with_track(form: str, codec: str) -> bytes:
    """A film with a track of texts, all of them secret."""
    whole = encode.webm(FRAMES, 5, WAVE) if form == "matroska" else encode.mp4(FRAMES, 5, WAVE)
    out = BytesIO()
    with av.open(BytesIO(whole), "r") as source, av.open(out, "w", format=form) as sink:
        streams = {one.index: sink.add_stream_from_template(one) for one in source.streams}
        texts = sink.add_mux_stream(codec)
        for at, packet in enumerate(source.demux()):
            if packet.dts is None:
                continue
            packet.stream = streams[packet.stream.index]
            sink.mux(packet)
            text = av.Packet(
                struct.pack(">H", len(SECRET)) + SECRET if form != "matroska" else SECRET
            )
            text.stream, text.pts, text.dts, text.duration = texts, at * 100, at * 100, 50
            text.time_base = texts.time_base or packet.time_base
            sink.mux(text)
    return out.getvalue()


def same(one: bytes, other: bytes) -> bool:
    a, b = (decode.media(Part("video", data), LIMITS) for data in (one, other))
    assert isinstance(a, Clip)
    assert isinstance(b, Clip)
    pictures = zip(a.frames, b.frames, strict=True)
    return np.array_equal(a.audio, b.audio) and all(
        x.time_us == y.time_us and np.array_equal(x.pixels, y.pixels) for x, y in pictures
    )


@pytest.mark.parametrize(("form", "codec"), [("mp4", "mov_text"), ("matroska", "subrip")])
def test_a_track_that_is_neither_picture_nor_sound_goes_with_its_samples(
    form: str, codec: str
) -> None:
    whole = with_track(form, codec)
    assert whole.count(SECRET) > 3
    bare = strip(Part("video", whole)).data
    assert SECRET not in bare
    assert len(bare) == len(whole)
    assert same(bare, whole)


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (referring(encode.mp4(FRAMES, 5), b"alis", b"x"), "refers to another file"),
        (box(b"ftyp", b"isom\0\0\2\0") + box(b"mdat", bytes(9)), "no description"),
        (encode.mp4(FRAMES, 5)[:-9], "larger than what it lies in"),
    ],
)
def test_what_cannot_be_told_apart_is_refused(data: bytes, words: str) -> None:
    with pytest.raises(MalformedMedia, match=words):
        strip(Part("video", data))


def test_where_sound_begins_is_no_tag_to_be_dropped() -> None:
    whole = film("mp4")
    at = whole.index(b"udta")
    told = whole[: at + 20] + b"iTunSMPB" + whole[at + 28 :]
    with pytest.raises(MalformedMedia, match="where its sound begins"):
        strip(Part("video", told))

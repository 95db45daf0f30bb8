"""What a file is and what it is said to be must agree."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rankspace.errors import MalformedMedia, UnknownModality
from rankspace.media import encode
from rankspace.media.magic import ENCODINGS, encoding_of, sniff
from rankspace.media.sample import Part

WAVE = np.zeros(1600, np.float32)
PIXELS = np.zeros((16, 16, 3), np.uint8)
FILES = {
    **{name: getattr(encode, name)(WAVE) for name in ("wav", "flac", "ogg", "opus", "mp3")},
    **{name: getattr(encode, name)(PIXELS) for name in ("png", "jpeg", "webp")},
    **{name: getattr(encode, name)([PIXELS, PIXELS], 5) for name in ("gif", "mp4", "webm")},
}


@pytest.mark.parametrize("name", FILES)
def test_every_file_we_write_is_known_by_its_first_bytes(name: str) -> None:
    assert sniff(FILES[name]) == name


@pytest.mark.parametrize("modality", ["audio", "image", "video"])
@pytest.mark.parametrize("name", FILES)
def test_a_file_is_taken_where_it_belongs_and_only_there(modality: str, name: str) -> None:
    part = Part(modality, FILES[name])  # type: ignore[arg-type]  # drawn from the literals
    if name in ENCODINGS[part.modality]:
        assert encoding_of(part) == name
    else:
        with pytest.raises(MalformedMedia, match=f"look like {name}"):
            encoding_of(part)


@given(st.binary())
def test_sniffing_never_fails(data: bytes) -> None:
    assert sniff(data) in {"", *FILES}


def test_opus_may_be_called_ogg_but_not_the_other_way_round() -> None:
    assert encoding_of(Part("audio", FILES["opus"], "ogg")) == "opus"
    with pytest.raises(MalformedMedia, match="declared as opus, but the first bytes are ogg"):
        encoding_of(Part("audio", FILES["ogg"], "opus"))


@pytest.mark.parametrize(
    ("part", "field"),
    [
        (Part("text", b"x", "utf-8"), "encoding"),
        (Part("image", FILES["png"], "tiff"), "encoding"),
        (Part("image", FILES["png"], "jpeg"), "encoding"),
        (Part("image", b"", "png"), "data"),
        (Part("audio", b"%PDF-1.7"), "data"),
    ],
)
def test_a_false_declaration_is_refused(part: Part, field: str) -> None:
    with pytest.raises(MalformedMedia) as caught:
        encoding_of(part)
    assert caught.value.field == field


def test_an_unknown_modality_is_refused() -> None:
    part = Part("text", b"x")
    object.__setattr__(part, "modality", "smell")  # past the type check that only tests make
    with pytest.raises(UnknownModality):
        encoding_of(part)

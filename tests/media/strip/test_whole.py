"""What is stripped tells nothing of its maker, and decodes to what it did."""

from collections.abc import Callable
from functools import cache
from io import BytesIO

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from rankspace.errors import InvalidInput
from rankspace.media import decode
from rankspace.media.clip import Clip
from rankspace.media.limits import Limits
from rankspace.media.probe import probe
from rankspace.media.sample import Part
from rankspace.media.strip.whole import strip
from tests.media.strip.planted import FILES, PIXELS, PROFILE, SECRET, TURN, exif, jpeg, png, webp
from tests.media.test_decode import GOOD

LIMITS = Limits()


@cache
def planted(name: str) -> Part:
    return FILES[name]()


def held(part: Part) -> bytes:
    return part.data + b"".join(frame.image for frame in part.frames)


def flat(found: decode.Decoded) -> bytes:
    if isinstance(found, Clip):
        times = b"".join(frame.time_us.to_bytes(8, "big") for frame in found.frames)
        return times + b"".join(f.pixels.tobytes() for f in found.frames) + found.audio.tobytes()
    return np.asarray(found).tobytes()


def ended(part: Part) -> bytes | None:
    """What is decoded; None if it is refused."""
    try:
        return flat(decode.media(part, LIMITS))
    except InvalidInput:
        return None


def tried(part: Part) -> Part | None:
    """The part stripped; None if that is refused, in words."""
    try:
        return strip(part)
    except InvalidInput as error:
        words = error.message
    assert words.isprintable()
    return None


@pytest.mark.parametrize("name", FILES)
def test_no_secret_stays_and_nothing_else_goes(name: str) -> None:
    part = planted(name)
    assert SECRET in held(part)
    bare = strip(part)
    assert SECRET not in held(bare)
    assert SECRET[7:15] not in held(bare)
    assert flat(decode.media(bare, LIMITS)) == flat(decode.media(part, LIMITS))
    assert probe(bare, LIMITS).encoding == probe(part, LIMITS).encoding
    assert strip(bare) is bare
    assert strip(part) == bare


@pytest.mark.parametrize("name", GOOD)
def test_what_holds_no_metadata_decodes_the_same(name: str) -> None:
    part = Part(*GOOD[name])
    assert flat(decode.media(strip(part), LIMITS)) == flat(decode.media(part, LIMITS))


@pytest.mark.parametrize("name", FILES)
@given(data=st.data())
@settings(max_examples=20)
def test_damage_is_stripped_or_refused_and_never_undone(name: str, data: st.DataObject) -> None:
    """Also: a damaged picture or sound that decodes does so when it is stripped."""
    whole = planted(name)
    broken = bytearray(whole.data or whole.frames[0].image)
    for _ in range(data.draw(st.integers(1, 5))):
        broken[data.draw(st.integers(0, len(broken) - 1))] = data.draw(st.integers(0, 255))
    kept = data.draw(st.one_of(st.just(len(broken)), st.integers(0, len(broken))))
    part = Part(whole.modality if whole.data else "image", bytes(broken[:kept]))
    bare = tried(part)
    if bare is None:
        return
    assert strip(bare) == bare
    if part.modality != "video" and (before := ended(part)) is not None:
        assert ended(bare) == before


@pytest.mark.parametrize("make", [jpeg, png, webp])
def test_the_turn_and_the_colours_stay(make: Callable[[], bytes]) -> None:
    bare = strip(Part("image", make())).data
    with Image.open(BytesIO(bare)) as image:
        assert dict(image.getexif()) == {0x0112: TURN}
        assert image.info["icc_profile"] == PROFILE


def test_a_turn_of_nothing_needs_no_exif() -> None:
    out = BytesIO()
    Image.fromarray(PIXELS).save(out, "JPEG", exif=exif(1))
    assert b"Exif" not in strip(Part("image", out.getvalue())).data


def test_text_and_pcm_are_as_they_were() -> None:
    for part in (Part("text", SECRET), Part("audio", SECRET, "pcm_s16le", "", 16_000, 1)):
        assert strip(part) is part

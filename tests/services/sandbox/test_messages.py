"""What a process says is read back as it was meant, and nothing else is believed."""

import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rankspace.errors import LimitExceeded, MalformedMedia, UnknownModality
from rankspace.media.clip import Clip, Probe, TimedFrame
from rankspace.media.decode import Decoded
from rankspace.media.sample import MODALITIES, Modality, Part
from services.sandbox.messages import (
    Nonsense,
    length,
    packed,
    pieces,
    read_decoded,
    read_error,
    read_parts,
    read_probe,
    unpacked,
    write_decoded,
    write_error,
    write_part,
    write_probe,
)
from tests.strategies import samples

MEDIA = memoryview(bytes(range(256)) * 16)
words = st.text(max_size=20)
anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | words,
    lambda inner: st.lists(inner, max_size=6) | st.dictionaries(words, inner, max_size=4),
    max_leaves=12,
)
likely = st.fixed_dictionaries(
    {},
    optional={
        "found": st.lists(st.sampled_from(["png", "wav"]) | st.integers(-1, 9) | st.floats()),
        "shape": st.lists(st.integers(-2, 40) | anything, max_size=4),
        "times_us": st.lists(st.integers(-1, 9) | anything, max_size=3),
        "sound": st.integers(-2, 2000) | anything,
        "reason": st.sampled_from(["MALFORMED_MEDIA", "CORRUPT"]) | anything,
        "message": words,
        "field": words,
    },
)


@given(samples())
def test_parts_arrive_as_they_were(sample: Any) -> None:
    rows = [write_part(part) for part in sample.parts]
    media = b"".join(piece for part in sample.parts for piece in pieces(part))
    again = read_parts(json.loads(json.dumps(rows)), memoryview(media))
    assert [(p.modality, p.data, p.encoding, p.frames) for p in again] == [
        (p.modality, p.data, p.encoding, p.frames) for p in sample.parts
    ]
    assert [(p.rate_hz, p.channels) for p in again] == [
        (p.rate_hz, p.channels) for p in sample.parts
    ]


@given(anything)
def test_a_message_is_unpacked_as_it_was_packed(message: Any) -> None:
    raw = packed(message)
    assert length(raw[:4]) == len(raw) - 4
    assert packed(unpacked(raw[4:])) == raw


@pytest.mark.parametrize("kind", [MalformedMedia, LimitExceeded, UnknownModality])
def test_refusals_come_back_as_what_was_raised(kind: Any) -> None:
    error = read_error(write_error(kind("too much", "data")))
    assert type(error) is kind
    assert (str(error), getattr(error, "field", None)) == ("too much", "data")


def test_what_headers_say_comes_back() -> None:
    probe = Probe("video", "mp4", 1.5, 640, 360, 15, 24_000, 100)
    assert read_probe(write_probe(probe), Part("video")) == probe


def test_what_was_decoded_comes_back() -> None:
    wave = np.linspace(-1, 1, 50).astype(np.float32)
    pixels = np.arange(36, dtype=np.uint8).reshape(3, 4, 3)
    clip = Clip((TimedFrame(0, pixels), TimedFrame(7, pixels[::-1])), wave)
    decoded: dict[Modality, Decoded] = {"audio": wave, "image": pixels, "video": clip}
    for modality, found in decoded.items():
        result, arrays = write_decoded(found)
        media = b"".join(array.tobytes() for array in arrays)
        again = read_decoded(result, Part(modality), memoryview(media))
        if isinstance(again, Clip):
            assert [frame.time_us for frame in again.frames] == [0, 7]
            assert all(
                (a.pixels == b.pixels).all() for a, b in zip(again.frames, clip.frames, strict=True)
            )
            again, found = again.audio, clip.audio
        assert isinstance(again, np.ndarray)
        assert again.tobytes() == np.asarray(found).tobytes()


@given(anything | likely, st.sampled_from(MODALITIES))
def test_whatever_a_process_answers_is_right_in_form_or_nonsense(
    result: Any, modality: Any
) -> None:
    part = Part(modality)
    for read in (
        read_error,
        lambda result: read_probe(result, part),
        lambda result: read_decoded(result, part, MEDIA),
    ):
        try:
            found: Any = read(result)
        except Nonsense:
            continue
        assert found is None or isinstance(
            found, MalformedMedia | LimitExceeded | UnknownModality | Probe | np.ndarray | Clip
        )
        if isinstance(found, Exception):
            assert str(found).isprintable()


def test_a_message_too_long_is_not_waited_for() -> None:
    with pytest.raises(Nonsense):
        length(b"\xff\xff\xff\xff")
    with pytest.raises(Nonsense):
        unpacked(b"[" * 100_000)

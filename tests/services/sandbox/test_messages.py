"""What a process says is read back as it was meant, and nothing else is believed."""

import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rankspace.errors import InvalidInput, LimitExceeded, MalformedMedia, UnknownModality
from rankspace.media import encode
from rankspace.media.clip import Clip, TimedFrame
from rankspace.media.decode import Decoded
from rankspace.media.sample import MODALITIES, Frame, Modality, Part
from services.sandbox.messages import (
    Nonsense,
    length,
    packed,
    pieces,
    read_changed,
    read_decoded,
    read_open,
    read_parts,
    read_refused,
    unpacked,
    write_decoded,
    write_error,
    write_part,
)
from tests.strategies import samples
from tests.worlds import picture

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
        "open": st.lists(st.integers(-1, 4) | anything),
        "changed": st.lists(st.tuples(st.integers(-1, 4), st.lists(st.integers(-1, 9))).map(list)),
        "refused": st.lists(st.tuples(st.integers(-1, 4), anything).map(list)),
        "shape": st.lists(st.integers(-2, 40) | anything, max_size=4),
        "times_us": st.lists(st.integers(-1, 9) | anything, max_size=3),
        "sound": st.integers(-2, 2000) | anything,
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
    first, second = read_refused({"refused": [[1, write_error(kind("too much", "data"))]]}, 2)
    assert first is None
    assert type(second) is kind
    assert (str(second), getattr(second, "field", None)) == ("too much", "data")


def test_what_was_stripped_comes_back_in_its_place() -> None:
    whole = encode.png(picture(1))
    frames = (Frame(0, whole), Frame(7, whole))
    parts = [Part("image", whole), Part("video", b"", "frames", frames=frames)]
    answer = {"refused": [], "changed": [[1, [0, len(whole) - 3, len(whole)]]]}
    kept, film = read_changed(answer, parts, memoryview(whole[:-3] + whole))
    assert kept is parts[0]
    assert film.frames == (Frame(0, whole[:-3]), Frame(7, whole))


@pytest.mark.parametrize(
    "changed", [[[0, [5]]], [[0, [999]]], [[0, [-1]]], [[0, []]], [[1, [5]]], [[True, [5]]], [5], 5]
)
def test_what_was_stripped_is_still_of_its_kind_and_no_longer(changed: Any) -> None:
    part = Part("image", encode.png(picture(1)))
    with pytest.raises(Nonsense):
        read_changed({"changed": changed}, [part], MEDIA)


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
        lambda result: read_refused(result, 3),
        lambda result: read_open(result, 3),
        lambda result: read_changed(result, [part] * 3, MEDIA),
        lambda result: read_decoded(result, part, MEDIA),
    ):
        try:
            found: Any = read(result)
        except Nonsense:
            continue
        if not isinstance(found, list):
            found = [found]
        for one in found:
            assert one is None or isinstance(one, int | InvalidInput | Part | np.ndarray | Clip)
            assert not isinstance(one, Exception) or str(one).isprintable()


def test_a_message_too_long_is_not_waited_for() -> None:
    with pytest.raises(Nonsense):
        length(b"\xff\xff\xff\xff")
    with pytest.raises(Nonsense):
        unpacked(b"[" * 100_000)

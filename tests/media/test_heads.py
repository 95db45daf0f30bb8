"""What the first bytes tell is what the whole tells."""

from io import BytesIO

import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st

from rankspace.errors import InvalidInput
from rankspace.media import audio, decode, encode, image
from rankspace.media.clip import Probe
from rankspace.media.heads import HEAD_BYTES, heads_of, joined, needed, told, untold
from rankspace.media.limits import Limits
from rankspace.media.sample import Part
from tests.media.strip.planted import FILES
from tests.media.test_decode import GOOD, TONE

LIMITS = Limits()
SHORT = ("wav", "flac", "png", "jpeg", "webp")


def of_head(part: Part, size: int | None = None) -> Probe | None:
    """What the first bytes tell of a part."""
    head = Part(
        part.modality, part.data[: needed(part)], part.encoding, "", part.rate_hz, part.channels
    )
    return told(head, len(part.data) if size is None else size, LIMITS)


def of_whole(part: Part) -> Probe | None:
    """What a decoder tells when it opens the file; None: it is refused."""
    try:
        return (image if part.modality == "image" else audio).probe(part, LIMITS)
    except InvalidInput:
        return None


@pytest.mark.parametrize("name", SHORT)
def test_a_good_file_is_told_by_its_head(name: str) -> None:
    part = Part(*GOOD[name])
    assert of_head(part) == of_whole(part) is not None


@pytest.mark.parametrize("name", SHORT)
@given(data=st.data())
@settings(max_examples=50)
def test_what_is_told_is_what_the_whole_tells_or_the_whole_is_refused(
    name: str, data: st.DataObject
) -> None:
    modality, whole = GOOD[name]
    broken = bytearray(whole)
    for _ in range(data.draw(st.integers(1, 4))):
        broken[data.draw(st.integers(0, min(len(whole) - 1, 200)))] = data.draw(st.integers(0, 255))
    part = Part(modality, bytes(broken[: data.draw(st.integers(1, len(broken)))]))
    found = of_head(part) if needed(part) is not None else None
    opened = of_whole(part)
    if found is not None and opened is not None and found != opened:
        assert name == "flac"
        with pytest.raises(InvalidInput):  # its frames are not what its header says
            decode.audio(part, LIMITS)


@given(data=st.data())
@settings(max_examples=100)
def test_heads_that_are_passed_on_together_tell_what_each_tells(data: st.DataObject) -> None:
    parts = []
    for name in data.draw(st.lists(st.sampled_from([*SHORT, "gif", "mp3", "raw"]), max_size=5)):
        modality, whole = GOOD.get(name, ("audio", bytes(64)))
        broken = bytearray(whole)
        for _ in range(data.draw(st.integers(0, 3))):
            broken[data.draw(st.integers(0, min(len(whole) - 1, 99)))] = data.draw(
                st.integers(0, 255)
            )
        kind = data.draw(st.sampled_from(["", name, "pcm_s16le", "png", "nonsense"]))
        part = Part(
            modality, bytes(broken), kind, "", *data.draw(st.sampled_from([(0, 0), (8_000, 1)]))
        )
        parts.append(part)
    heads, short, others = heads_of(parts)
    assert sorted([*short, *others]) == [*range(len(parts))]
    assert len(heads) == len(short)
    memory = memoryview(heads.rows + heads.data + b"left from before")
    open_ = {short[at] for at in untold(len(heads), memory, LIMITS)}
    assert open_ == {at for at in short if of_head(parts[at]) is None}
    cuts = [heads.cut(at, at + 2) for at in range(0, len(heads), 2)] or [heads]
    assert joined(cuts) == heads


def test_a_picture_is_held_to_the_limits_by_its_head() -> None:
    part = Part(*GOOD["png"])
    for tight in (
        Limits(image_pixels_max=10),
        Limits(decoded_bytes_max=30),
        Limits(part_bytes_max=50),
    ):
        heads, _, _ = heads_of([part])
        assert len(heads) == 1
        assert untold(1, memoryview(heads.rows + heads.data), tight) == [0]


@given(st.integers(1, 2), st.sampled_from(["pcm_s16le", "pcm_f32le"]), st.integers(0, 99))
def test_raw_sound_is_told_without_a_byte_of_it(channels: int, encoding: str, size: int) -> None:
    part = Part("audio", bytes(size), encoding, "", 8_000, channels)
    assert needed(part) == 0
    assert of_head(part) == of_whole(part)


def test_a_header_that_its_frames_contradict_is_refused_by_decoding() -> None:
    _, whole = GOOD["flac"]
    part = Part("audio", whole[:18] + b"\0" + whole[19:])  # another rate
    assert of_head(part) is not None
    assert of_head(part) != of_whole(part)
    with pytest.raises(InvalidInput, match="4000 samples"):
        decode.audio(part, LIMITS)


@pytest.mark.parametrize("kind", soundfile.available_subtypes("WAVEX"))
@pytest.mark.parametrize("form", ["WAV", "WAVEX"])
def test_every_kind_of_wav_is_told_as_it_is_opened_or_left_to_a_decoder(
    kind: str, form: str
) -> None:
    out = BytesIO()
    with soundfile.SoundFile(out, "w", 8_000, 2, kind, format=form) as file:
        file.write(np.stack([TONE, TONE], axis=1))
    part = Part("audio", out.getvalue())
    assert of_head(part) in (None, of_whole(part))
    assert (of_head(part) is None) == kind.endswith("LAW")


def test_a_wav_cut_short_and_one_of_open_length_are_known_by_the_length_of_the_whole() -> None:
    wav = encode.wav(TONE)
    assert of_head(Part("audio", wav), len(wav) - 1) is None
    live = encode.wav_header() + encode.pcm_s16le(TONE)
    assert of_head(Part("audio", live)) == of_whole(Part("audio", live))


@pytest.mark.parametrize("name", [name for name in FILES if needed(FILES[name]()) is not None])
def test_what_comes_before_the_size_is_skipped_or_the_whole_is_asked_for(name: str) -> None:
    part = FILES[name]()
    assert of_head(part) in (None, of_whole(part))


def test_a_size_beyond_the_first_bytes_is_not_guessed() -> None:
    jpeg = GOOD["jpeg"][1]
    late = jpeg[:2] + (b"\xff\xfe\xff\xff" + bytes(65_533)) + jpeg[2:]
    assert len(late) > HEAD_BYTES
    assert of_head(Part("image", late)) is None

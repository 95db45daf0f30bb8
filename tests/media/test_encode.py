"""What is written can be read by others: the forms that `decode` does not see."""

from io import BytesIO

import av
import numpy as np
import pytest
import soundfile
from hypothesis import given
from hypothesis import strategies as st

from rankspace.media import encode

LOUD = np.array([-3.0, -1.0, 0.0, 1.0, 3.0], np.float32)
FRAMES = [np.full((32, 48, 3), 25 * at, np.uint8) for at in range(10)]


@given(st.integers(1_000, 192_000), st.integers(1, 8), st.integers(0, 1_000))
def test_others_agree_on_our_wav_header(rate: int, channels: int, samples: int) -> None:
    data = encode.wav_header(rate, channels, samples) + bytes(2 * channels * samples)
    with soundfile.SoundFile(BytesIO(data)) as file:
        assert (file.samplerate, file.channels, file.frames) == (rate, channels, samples)
        assert file.subtype == "PCM_16"


def test_a_wav_header_is_44_bytes_whether_its_length_is_known_or_not() -> None:
    assert len(encode.wav_header()) == len(encode.wav_header(samples=7)) == 44


@pytest.mark.parametrize("name", ["wav", "flac"])
def test_what_is_too_loud_is_clipped_and_does_not_wrap_round(name: str) -> None:
    read, rate = soundfile.read(BytesIO(getattr(encode, name)(LOUD, 8_000)), dtype="int16")
    assert rate == 8_000
    assert read.tolist() == [-32768, -32768, 0, 32767, 32767]


def test_minutes_of_vorbis_do_not_overflow_a_stack() -> None:
    assert soundfile.info(BytesIO(encode.ogg(np.zeros(2_000_000, np.float32)))).frames == 2_000_000


@pytest.mark.parametrize("fps", [10, 12.5, 29.97])
@pytest.mark.parametrize("name", ["mp4", "webm", "gif"])
def test_frames_are_written_at_their_rate(name: str, fps: float) -> None:
    with av.open(BytesIO(getattr(encode, name)(FRAMES, fps)), "r") as container:
        times = [frame.time for frame in container.decode(video=0)]
    np.testing.assert_allclose(times, np.arange(10) / fps, atol=0.006)


def test_a_movie_names_its_codecs() -> None:
    for name, codecs in (("mp4", ("h264", "aac")), ("webm", ("vp9", "opus"))):
        data = getattr(encode, name)(FRAMES, 10, np.zeros(16_000, np.float32))
        with av.open(BytesIO(data)) as container:
            assert tuple(stream.codec_context.name for stream in container.streams) == codecs

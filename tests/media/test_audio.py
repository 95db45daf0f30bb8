"""Sound in: exact where the file is, refused where the file or its header is wrong."""

import struct
from io import BytesIO

import av
import numpy as np
import pytest
import soundfile
from hypothesis import given
from hypothesis import strategies as st

from rankspace.errors import LimitExceeded, MalformedMedia
from rankspace.media import encode
from rankspace.media.audio import decode, probe
from rankspace.media.clip import Wave
from rankspace.media.limits import Limits
from rankspace.media.sample import Part

LIMITS = Limits()
TONE = (0.4 * np.sin(np.arange(16_000) * 0.1)).astype(np.float32)


def grid(ints: list[int]) -> Wave:
    return np.array(ints, np.float32) / np.float32(32768)


waves = st.lists(st.integers(-32768, 32767), min_size=1, max_size=500).map(grid)


@given(waves, st.sampled_from(["wav", "flac"]))
def test_wav_and_flac_round_trip_exactly(wave: Wave, name: str) -> None:
    part = Part("audio", getattr(encode, name)(wave), name)
    assert probe(part, LIMITS).samples == len(wave)
    np.testing.assert_array_equal(decode(part, LIMITS), wave)


@given(waves)
def test_raw_pcm_round_trips_exactly(wave: Wave) -> None:
    whole = Part("audio", encode.pcm_s16le(wave), "pcm_s16le", rate_hz=16_000, channels=1)
    floats = Part("audio", wave.tobytes(), "pcm_f32le", rate_hz=16_000, channels=1)
    np.testing.assert_array_equal(decode(whole, LIMITS), wave)
    np.testing.assert_array_equal(decode(floats, LIMITS), wave)


@given(waves, st.integers(1, 4))
def test_a_streamed_wav_needs_no_length(wave: Wave, pieces: int) -> None:
    parts = [encode.pcm_s16le(piece) for piece in np.array_split(wave, pieces)]
    data = b"".join([encode.wav_header(), *parts])
    np.testing.assert_array_equal(decode(Part("audio", data), LIMITS), wave)


@pytest.mark.parametrize("name", ["ogg", "opus", "mp3"])
def test_lossy_sound_stays_close_and_in_time(name: str) -> None:
    part = Part("audio", getattr(encode, name)(TONE))
    wave = decode(part, LIMITS)
    assert probe(part, LIMITS).encoding == name
    assert probe(part, LIMITS).seconds == pytest.approx(1, abs=0.1)
    assert len(wave) == pytest.approx(len(TONE), abs=1200)
    error = wave[: len(TONE)] - TONE[: len(wave)]
    assert np.square(error).mean() < 0.01 * np.square(TONE).mean()


@pytest.mark.parametrize("rate", [8_000, 44_100])
@pytest.mark.parametrize("subtype", ["PCM_U8", "PCM_24", "FLOAT", "ULAW"])
def test_other_wavs_become_mono_16_khz(rate: int, subtype: str) -> None:
    out = BytesIO()
    tone = 0.4 * np.sin(np.arange(rate) * 2 * np.pi * 200 / rate)
    soundfile.write(out, np.stack([tone, tone], 1), rate, subtype=subtype, format="WAV")
    wave = decode(Part("audio", out.getvalue()), LIMITS)
    wanted = 0.4 * np.sin(np.arange(16_000) * 2 * np.pi * 200 / 16_000)
    assert np.abs(wave - wanted)[100:-100].max() < 0.02


@pytest.mark.parametrize("subtype", ["PCM_S8", "PCM_16", "PCM_24"])
def test_flac_of_any_depth_agrees_with_another_reader(subtype: str) -> None:
    out = BytesIO()
    soundfile.write(out, TONE, 16_000, subtype=subtype, format="FLAC")
    wanted, _ = soundfile.read(BytesIO(out.getvalue()), dtype="float32")
    np.testing.assert_array_equal(decode(Part("audio", out.getvalue()), LIMITS), wanted)


def test_a_flac_that_holds_more_than_it_says_is_refused() -> None:
    flac = bytearray(encode.flac(TONE))
    flac[22:26] = (9_000).to_bytes(4, "big")
    with pytest.raises(MalformedMedia, match="16000 samples, not the 9000 that its header names"):
        decode(Part("audio", bytes(flac)), LIMITS)


def test_header_and_limits_agree() -> None:
    limits = Limits(audio_seconds_max=0.5)
    for name in ("wav", "flac", "ogg", "opus", "mp3"):
        with pytest.raises(LimitExceeded, match="seconds of sound"):
            probe(Part("audio", getattr(encode, name)(TONE)), limits)


def test_a_header_that_hides_the_length_does_not_help() -> None:
    limits = Limits(audio_seconds_max=0.5)
    open_wav = Part("audio", encode.wav_header() + encode.pcm_s16le(TONE))
    flac = bytearray(encode.flac(TONE))
    flac[21] &= 0xF0  # total samples of STREAMINFO: 36 bits, 0 means unknown
    flac[22:26] = bytes(4)
    for part in (open_wav, Part("audio", bytes(flac))):
        with pytest.raises(LimitExceeded, match="seconds of sound"):
            decode(part, limits)


def test_a_streamed_flac_needs_no_length() -> None:
    flac = bytearray(encode.flac(TONE))
    flac[21] &= 0xF0
    flac[22:26] = bytes(4)
    decoded = decode(Part("audio", bytes(flac)), LIMITS)
    np.testing.assert_array_equal(decoded, decode(Part("audio", encode.flac(TONE)), LIMITS))


@pytest.mark.parametrize(("rate", "channels"), [(8_000, 1), (16_000, 2)])
def test_a_sound_that_changes_midway_is_refused(rate: int, channels: int) -> None:
    parts: list[bytes] = []
    shapes: list[tuple[int, int]] = [(16_000, 1), (rate, channels)]
    for shape in shapes:
        out = BytesIO()
        with av.open(out, "w", format="mp3") as container:
            layout = ("mono", "stereo")[shape[1] - 1]
            stream = container.add_stream("libmp3lame", shape[0], layout=layout)
            waves = np.repeat(TONE[None], shape[1], axis=0)
            frame = av.AudioFrame.from_ndarray(waves, format="fltp", layout=layout)
            frame.sample_rate = shape[0]
            container.mux(stream.encode(frame))
            container.mux(stream.encode(None))
        parts.append(out.getvalue()[45:] if parts else out.getvalue())
    with pytest.raises(MalformedMedia, match="midway"):
        decode(Part("audio", b"".join(parts)), LIMITS)


def cut(name: str) -> bytes:
    data: bytes = getattr(encode, name)(TONE)
    return data[: len(data) * 2 // 3]


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (cut("wav"), "the wav is cut short: its header names more bytes"),
        (cut("flac"), "the flac is damaged or cut short"),
        (encode.wav_header(samples=0), "the sound holds no samples"),
        (encode.wav(TONE)[:30], "the wav holds no samples"),
        (encode.wav_header(rate_hz=500) + b"\0" * 8, "the sample rate is at least 1000 Hz"),
        (b"ID3\x04\0\0\0\0\0\0", "the mp3 is damaged or cut short"),
    ],
    ids=["cut wav", "cut flac", "no samples", "cut header", "slow", "only tags"],
)
def test_a_broken_file_is_refused(data: bytes, message: str) -> None:
    with pytest.raises(MalformedMedia) as caught:
        decode(Part("audio", data), LIMITS)
    assert caught.value.message.startswith(message.split(":")[0])


def test_a_wav_that_is_not_finite_is_refused() -> None:
    out = BytesIO()
    soundfile.write(out, np.array([0, np.nan, 1]), 16_000, subtype="FLOAT", format="WAV")
    with pytest.raises(MalformedMedia, match="NaN or infinity"):
        decode(Part("audio", out.getvalue()), LIMITS)


def test_other_formats_of_the_library_stay_shut() -> None:
    out = BytesIO()
    soundfile.write(out, TONE, 16_000, format="AIFF")
    with pytest.raises(MalformedMedia, match="of no known kind"):
        decode(Part("audio", out.getvalue()), LIMITS)
    with pytest.raises(MalformedMedia, match=r"damaged|not wav|no samples"):
        decode(Part("audio", b"RIFF\x10\0\0\0WAVE" + out.getvalue()), LIMITS)


@pytest.mark.parametrize(
    ("rate", "channels", "data", "field"),
    [
        (0, 1, b"\0\0", "rate_hz"),
        (16_000, 0, b"\0\0", "channels"),
        (200_000, 1, b"\0\0", "rate_hz"),
        (16_000, 9, b"\0\0", "channels"),
        (16_000, 2, b"\0\0", "data"),
        (16_000, 1, b"", "data"),
    ],
)
def test_raw_pcm_must_say_what_it_is(rate: int, channels: int, data: bytes, field: str) -> None:
    part = Part("audio", data, "pcm_s16le", rate_hz=rate, channels=channels)
    with pytest.raises((MalformedMedia, LimitExceeded)) as caught:
        probe(part, LIMITS)
    assert caught.value.field == field


def test_too_many_channels_are_refused_before_a_block_is_read() -> None:
    header = struct.pack("<HHIIHH", 1, 1000, 8_000, 16_000_000, 2000, 16)
    data = (
        b"RIFF\xff\xff\xff\xffWAVEfmt \x10\0\0\0" + header + b"data\xff\xff\xff\xff" + bytes(4000)
    )
    with pytest.raises(LimitExceeded, match="channels: 1000"):
        probe(Part("audio", data), LIMITS)

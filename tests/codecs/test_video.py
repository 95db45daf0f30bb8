"""Video: times without drift, tiles that survive, sound in its place."""

import numpy as np
import pytest

from rankspace.codecs.audio import AudioCodec, AudioConfig, mel
from rankspace.codecs.base import decode, encode
from rankspace.codecs.image import ImageCodec, ImageConfig
from rankspace.codecs.video import MARKS, VideoCodec, VideoConfig
from rankspace.errors import MalformedMedia
from rankspace.media.clip import Clip, TimedFrame

random = np.random.default_rng(0)
PICTURES = random.integers(0, 256, (12, 4, 4, 3), np.uint8).repeat(4, 1).repeat(4, 2)
NOISE = random.normal(0, 0.1, 48_000).astype(np.float32)
IMAGE = ImageCodec.fit(PICTURES, ImageConfig(side=16, codes=32, dims=8))
AUDIO = AudioCodec.fit([NOISE], AudioConfig(codes=16, dims=8))
CODEC = VideoCodec(VideoConfig(), IMAGE)


def clip(times_us: list[int]) -> Clip:
    pairs = zip(times_us, np.resize(PICTURES, (len(times_us), 16, 16, 3)), strict=True)
    return Clip(tuple(TimedFrame(time, pixels) for time, pixels in pairs))


def whole(pieces: list[Clip]) -> Clip:
    sound = np.concatenate([piece.audio for piece in pieces])
    return Clip(tuple(frame for piece in pieces for frame in piece.frames), sound)


def times(symbols: np.ndarray[tuple[int], np.dtype[np.int32]]) -> list[int]:
    return [frame.time_us for frame in whole(list(decode(CODEC, [symbols]))).frames]


def test_fast_video_is_thinned_without_drift() -> None:
    found = times(encode(CODEC, [clip(list(range(0, 10_000_000, 40_000)))]))
    assert found == list(range(0, 10_000_001, 500_000))


def test_slow_video_keeps_every_frame_near_its_time() -> None:
    shown = np.cumsum(random.integers(600_000, 5_000_000, 30)).tolist()
    found = times(encode(CODEC, [clip([0, *shown])]))
    gaps = np.diff([0, *shown])
    assert len(found) == 31
    assert (np.abs(np.array(found[1:]) - shown) <= 0.5 * gaps).all()


def test_symbols_survive_the_way_to_pictures_and_back() -> None:
    symbols = encode(CODEC, [clip([0, 700_000, 1_500_000, 9_000_000])])
    again = encode(CODEC, list(decode(CODEC, [symbols])))
    assert np.mean(symbols == again) >= 0.99


def test_each_group_of_sound_follows_its_frame() -> None:
    codec = VideoCodec(VideoConfig(), IMAGE, AUDIO)
    seen = Clip(clip([0, 1_000_000]).frames, NOISE)
    symbols = encode(codec, [seen])
    second = 1 + IMAGE.cycle + 2 * 25
    assert symbols[0] == 0
    assert 0 < symbols[second] < MARKS
    sound = symbols[symbols >= codec.sound] - codec.sound
    assert np.array_equal(sound, AUDIO.quantise(mel(NOISE)))
    assert len(whole(list(decode(codec, [symbols]))).audio) == 48_000


def test_the_image_codec_is_learnt_from_the_frames_when_none_is_given() -> None:
    assert VideoCodec.fit([clip([0])]).image.cycle == 64


def test_sound_without_a_picture_is_refused() -> None:
    codec = VideoCodec(VideoConfig(), IMAGE, AUDIO)
    with pytest.raises(MalformedMedia, match="at least one frame"):
        encode(codec, [Clip((), NOISE)])


@pytest.mark.parametrize("times_us", [[5, 3], [-1]])
def test_frames_out_of_order_are_refused(times_us: list[int]) -> None:
    with pytest.raises(MalformedMedia, match="order of time"):
        encode(CODEC, [clip(times_us)])


def test_a_mark_among_tiles_is_refused() -> None:
    with pytest.raises(MalformedMedia, match="tile"):
        CODEC.decoder().push(np.zeros(2, np.int32))

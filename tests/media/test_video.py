"""Video in: frames in time, sound against them, all of it within limits."""

from io import BytesIO
from itertools import pairwise

import av
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from rankspace.errors import LimitExceeded, MalformedMedia
from rankspace.media import encode
from rankspace.media.clip import Pixels
from rankspace.media.limits import Limits
from rankspace.media.sample import Frame, Part
from rankspace.media.video import decode, probe

LIMITS = Limits()
X, Y = np.meshgrid(np.arange(48), np.arange(32))
TONE = (0.4 * np.sin(np.arange(16_000) ** 1.5 * 0.002)).astype(np.float32)


def frame(at: int) -> Pixels:
    return np.stack([(3 * X + 8 * at) % 256, 7 * Y, 2 * (X + Y)], axis=-1).astype(np.uint8)


FRAMES = [frame(at) for at in range(10)]
FILES = {
    "mp4": encode.mp4(FRAMES, 10, TONE),
    "webm": encode.webm(FRAMES, 10, TONE),
    "gif": encode.gif(FRAMES, 10),
}


def pictures(times_us: list[int], size: tuple[int, int] = (8, 8)) -> Part:
    image = encode.png(np.zeros((*size, 3), np.uint8))
    return Part("video", encoding="frames", frames=tuple(Frame(t, image) for t in times_us))


@pytest.mark.parametrize("name", FILES)
def test_frames_come_back_in_time_and_close(name: str) -> None:
    clip = decode(Part("video", FILES[name]), LIMITS)
    assert [frame.time_us for frame in clip.frames] == list(range(0, 1_000_000, 100_000))
    error = np.stack([frame.pixels for frame in clip.frames]).astype(int) - np.stack(FRAMES)
    assert np.sqrt(np.square(error).mean()) < 12


@pytest.mark.parametrize("name", FILES)
def test_the_probe_tells_what_is_decoded(name: str) -> None:
    seen = probe(Part("video", FILES[name]), LIMITS)
    assert (seen.encoding, seen.width, seen.height) == (name, 48, 32)
    assert seen.seconds == pytest.approx(1.0, abs=0.05)
    assert seen.frames in (10, 0)  # webm does not say
    clip = decode(Part("video", FILES[name]), LIMITS)
    assert seen.decoded_bytes >= sum(frame.pixels.nbytes for frame in clip.frames)


@pytest.mark.parametrize("name", ["mp4", "webm"])
def test_the_sound_starts_with_the_first_frame(name: str) -> None:
    wave = decode(Part("video", FILES[name]), LIMITS).audio
    assert len(wave) == pytest.approx(len(TONE), abs=1200)
    spectrum = np.fft.rfft(wave, 1 << 16) * np.conj(np.fft.rfft(TONE, 1 << 16))
    assert int(np.fft.irfft(spectrum).argmax()) == 0


@given(st.lists(st.integers(1, 400_000), max_size=12), st.floats(1, 30))
@settings(max_examples=25)
def test_no_more_frames_are_kept_than_the_rate_allows(gaps_us: list[int], rate: float) -> None:
    times = np.cumsum([0, *gaps_us]).tolist()
    limits = Limits(video_rate_max=rate)
    kept = [frame.time_us for frame in decode(pictures(times), limits).frames]
    assert kept[0] == 0
    assert set(kept) <= set(times)
    assert len(kept) <= 1.5 + rate * times[-1] / 1_000_000
    assert all(late > early for early, late in pairwise(kept))


def test_frames_that_come_at_the_rate_are_all_kept() -> None:
    for rate in (10, 24, 25, 30):
        times = [round(at * 1000 / rate) * 1000 for at in range(30)]  # webm rounds to ms
        limits = Limits(video_rate_max=float(rate))
        assert len(decode(pictures(times), limits).frames) == 30


def test_large_frames_are_scaled_down_with_their_aspect() -> None:
    limits = Limits(video_kept_pixels_max=24 * 16)
    for part in (
        Part("video", FILES["mp4"]),
        Part("video", encoding="frames", frames=(Frame(0, encode.png(FRAMES[0])),)),
    ):
        pixels = decode(part, limits).frames[0].pixels
        assert pixels.shape == (16, 24, 3)
        wanted = FRAMES[0].reshape(16, 2, 24, 2, 3).mean(axis=(1, 3))
        assert np.abs(pixels - wanted).mean() < 6


def test_odd_sides_gain_a_pixel_in_mp4_only() -> None:
    odd = [FRAMES[0][:31, :47]]
    assert decode(Part("video", encode.mp4(odd, 5)), LIMITS).frames[0].pixels.shape == (32, 48, 3)
    assert decode(Part("video", encode.webm(odd, 5)), LIMITS).frames[0].pixels.shape == (31, 47, 3)


def test_what_is_clear_in_a_gif_is_white() -> None:
    images = [Image.new("P", (8, 8), at) for at in (0, 1)]
    for image in images:
        image.putpalette([10, 20, 30, 40, 50, 60])
    out = BytesIO()
    images[0].save(
        out, "GIF", save_all=True, append_images=images[1:], transparency=0, duration=200
    )
    clip = decode(Part("video", out.getvalue()), LIMITS)
    assert clip.frames[0].pixels[0, 0].tolist() == [255] * 3
    assert clip.frames[1].pixels[0, 0].tolist() == [40, 50, 60]


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize(
    ("limits", "message"),
    [
        (Limits(video_pixels_max=1535), "pixels in a frame: 1536"),
        (Limits(video_pixels_max=100), "pixels in a frame"),
        (Limits(video_frames_max=5), "frames"),
        (Limits(video_seconds_max=0.5), "seconds"),
        (Limits(decoded_bytes_max=10_000), "bytes of decoded frames"),
        (Limits(part_bytes_max=1_000), "bytes in the part"),
    ],
    ids=["pixels", "far more pixels", "frames", "seconds", "budget", "bytes"],
)
def test_every_limit_holds(name: str, limits: Limits, message: str) -> None:
    with pytest.raises(LimitExceeded, match=message):
        decode(Part("video", FILES[name]), limits)


def test_a_clip_without_pictures_is_refused() -> None:
    out = BytesIO()
    with av.open(out, "w", format="mp4") as container:
        sound = container.add_stream("aac", 16_000, layout="mono")
        mute = av.AudioFrame.from_ndarray(TONE[None], format="fltp", layout="mono")
        mute.sample_rate = 16_000
        container.mux(sound.encode(mute))
        container.mux(sound.encode(None))
    with pytest.raises(MalformedMedia, match="holds no pictures"):
        probe(Part("video", out.getvalue()), LIMITS)


def test_a_codec_that_is_not_on_the_list_is_refused() -> None:
    out = BytesIO()
    with av.open(out, "w", format="mp4") as container:
        stream = container.add_stream("mjpeg", 5)
        stream.width, stream.height, stream.pix_fmt = 48, 32, "yuvj420p"
        container.mux(stream.encode(av.VideoFrame.from_ndarray(FRAMES[0], format="rgb24")))
        container.mux(stream.encode(None))
    with pytest.raises(MalformedMedia):
        decode(Part("video", out.getvalue()), LIMITS)


@pytest.mark.parametrize("name", ["mp4", "webm"])
def test_a_video_that_is_cut_short_is_refused_or_ends_early(name: str) -> None:
    for kept in range(8, len(FILES[name]), 997):
        try:
            clip = decode(Part("video", FILES[name][:kept], name), LIMITS)
        except MalformedMedia:
            continue
        assert len(clip.frames) <= 10


@pytest.mark.parametrize(
    ("part", "field"),
    [
        (pictures([]), "frames"),
        (pictures([5]), "frames"),
        (pictures([0, 2, 1]), "frames"),
        (pictures([0, 0]), "frames"),
        (pictures([0, 61_000_000]), "frames"),
        (Part("video", encoding="frames", frames=(Frame(0, b"?"),)), "frames[0].image"),
        (
            Part(
                "video",
                encoding="frames",
                frames=pictures([0]).frames + pictures([1], (4, 8)).frames,
            ),
            "frames",
        ),
    ],
    ids=["none", "late", "back", "twice", "long", "no picture", "two sizes"],
)
def test_timed_pictures_that_make_no_clip_are_refused(part: Part, field: str) -> None:
    with pytest.raises((MalformedMedia, LimitExceeded)) as caught:
        probe(part, LIMITS)
    assert caught.value.field == field

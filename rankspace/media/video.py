"""Video in: mp4, webm, gif and timed pictures → a `Clip`, decoded as a stream under a budget.

Frames that come faster than `Limits.video_rate_max` are thinned out: time is cut into slots of that
rate and each slot keeps the first frame that is nearest to it. Times are counted from the first
frame, and so is the sound. Frames of more than `video_kept_pixels_max` are scaled down. The turn
that the file asks for is applied; what is clear in a gif is white.
"""

from collections.abc import Iterator
from itertools import pairwise
from math import floor, sqrt

import numpy as np
from av.audio.frame import AudioFrame
from av.container import InputContainer
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from rankspace.errors import LimitExceeded, MalformedMedia
from rankspace.media import image
from rankspace.media.audio import check_shape
from rankspace.media.clip import AUDIO_RATE_HZ, Clip, Pixels, Probe, TimedFrame, Wave, silence
from rankspace.media.funnel import Funnel
from rankspace.media.libav import DECODERS, codec, opened, planes
from rankspace.media.limits import Limits, bounded
from rankspace.media.magic import encoding_of
from rankspace.media.sample import Frame, Part


def probe(part: Part, limits: Limits) -> Probe:
    """What the header says. Raises MalformedMedia or LimitExceeded."""
    encoding = encoding_of(part)
    if encoding == "frames":
        return _probe_frames(part, limits)
    bounded("bytes in the part", len(part.data), limits.part_bytes_max)
    with opened(part.data, encoding, _guard(limits)) as container:
        return _header(container, encoding, limits)


def decode(part: Part, limits: Limits) -> Clip:
    """The frames, at most `video_rate_max` a second, and the sound."""
    encoding = encoding_of(part)
    if encoding == "frames":
        return _decode_frames(part, limits)
    bounded("bytes in the part", len(part.data), limits.part_bytes_max)
    with opened(part.data, encoding, _guard(limits)) as container:
        _header(container, encoding, limits)
        sieve, ear = _Sieve(limits), _Ear(limits)
        for frame in _media(container, limits):
            if isinstance(frame, VideoFrame):
                sieve.see(frame)
            else:
                ear.hear(frame)
        return Clip(sieve.frames(), ear.wave(sieve.start_s))


def _guard(limits: Limits) -> int:
    """Pixels at which FFmpeg itself stops: over our limit, which has the better words."""
    return 4 * limits.video_pixels_max


def _header(container: InputContainer, encoding: str, limits: Limits) -> Probe:
    stream = _picture(container)
    width, height = stream.codec_context.width, stream.codec_context.height
    _check_size(width, height, limits)
    seconds = (container.duration or 0) / 1_000_000
    bounded("seconds of video", seconds, limits.video_seconds_max)
    bounded("frames", stream.frames, limits.video_frames_max)
    sound = container.streams.audio[0] if container.streams.audio else None
    if sound is not None:
        check_shape(sound.sample_rate, sound.channels, limits)
    return Probe(
        "video",
        encoding,
        seconds=seconds,
        width=width,
        height=height,
        frames=stream.frames,
        samples=round(seconds * sound.sample_rate) if sound is not None else 0,
        decoded_bytes=_kept_bytes(width * height, stream.frames, seconds, limits),
    )


def _picture(container: InputContainer) -> VideoStream:
    """The first video stream; every stream that will be decoded is on the list."""
    if not container.streams.video:
        raise MalformedMedia("the video holds no pictures", "data")
    for stream in (*container.streams.video[:1], *container.streams.audio[:1]):
        if codec(stream) not in DECODERS:
            raise MalformedMedia(
                "the video holds a codec that is not taken; use h264 or vp9", "data"
            )
    return container.streams.video[0]


def _kept_bytes(pixels: int, frames: int, seconds: float, limits: Limits) -> int:
    """What the kept frames will take; refused if that is over the budget."""
    slots = 1 + floor(seconds * limits.video_rate_max + 0.5)
    kept = min(frames, slots) if frames else slots
    size = 3 * min(pixels, limits.video_kept_pixels_max) * kept
    bounded("bytes of decoded frames", size, limits.decoded_bytes_max)
    return size


def _check_size(width: int, height: int, limits: Limits) -> None:
    if width < 1 or height < 1:  # FFmpeg's own guard leaves no size behind
        most = limits.video_pixels_max
        raise LimitExceeded(f"pixels in a frame: none, or far more than the {most} taken", "data")
    bounded("pixels in a frame", width * height, limits.video_pixels_max)


def _media(container: InputContainer, limits: Limits) -> Iterator[VideoFrame | AudioFrame]:
    streams = (*container.streams.video[:1], *container.streams.audio[:1])
    for stream in streams:
        # One thread, so that frames in flight are few and results are the same everywhere.
        stream.codec_context.thread_count = 1
        stream.codec_context.options = {"max_pixels": str(_guard(limits))}
    for packet in container.demux(*streams):
        for frame in packet.decode():
            if isinstance(frame, VideoFrame | AudioFrame):
                yield frame


def _shrunk(frame: VideoFrame, limits: Limits) -> Pixels:
    """The frame's pixels, scaled down with its aspect kept if they are too many."""
    share = min(1.0, sqrt(limits.video_kept_pixels_max / (frame.width * frame.height)))
    width, height = max(1, floor(share * frame.width)), max(1, floor(share * frame.height))
    # One thread here too: where media are decoded, no second one may be started.
    pixels = frame.to_ndarray(
        width=width, height=height, format="rgb24", interpolation="AREA", threads=1
    )
    return pixels.astype(np.uint8, copy=False)


class _Sieve:
    """Keeps the frames that are due, within the budget."""

    def __init__(self, limits: Limits) -> None:
        self.start_s = 0.0
        self._limits = limits
        self._kept: list[TimedFrame] = []
        self._seen = 0
        self._slot = -1
        self._bytes = 0

    def see(self, frame: VideoFrame) -> None:
        if frame.pts is None or frame.time_base is None:
            raise MalformedMedia("the video holds a frame without a time", "data")
        self._seen += 1
        bounded("frames", self._seen, self._limits.video_frames_max)
        time_s = float(frame.pts * frame.time_base)
        if self._seen == 1:
            self.start_s = time_s
        if self.due(time_s - self.start_s):
            _check_size(frame.width, frame.height, self._limits)
            pixels = np.rot90(_shrunk(frame, self._limits), frame.rotation // 90)
            self.keep(time_s - self.start_s, np.ascontiguousarray(pixels))

    def due(self, time_s: float) -> bool:
        """Whether a frame at this time opens a new slot."""
        bounded("seconds of video", time_s, self._limits.video_seconds_max)
        slot = floor(time_s * self._limits.video_rate_max + 0.5)
        late = slot > self._slot
        self._slot = max(slot, self._slot)
        return late

    def keep(self, time_s: float, pixels: Pixels) -> None:
        if self._kept and pixels.shape != self._kept[0].pixels.shape:
            raise MalformedMedia("the frames are not all of one size", "data")
        self._bytes += pixels.nbytes
        bounded("bytes of decoded frames", self._bytes, self._limits.decoded_bytes_max)
        self._kept.append(TimedFrame(round(time_s * 1_000_000), pixels))

    def frames(self) -> tuple[TimedFrame, ...]:
        if not self._kept:
            raise MalformedMedia("the video holds no frames", "data")
        return tuple(self._kept)


class _Ear:
    """Gathers the sound and lays it against the first frame."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._funnel: Funnel | None = None
        self._shape = (0, 0)
        self._start_s = 0.0

    def hear(self, frame: AudioFrame) -> None:
        if self._funnel is None:
            check_shape(frame.sample_rate, frame.layout.nb_channels, self._limits)
            self._shape = (frame.sample_rate, frame.layout.nb_channels)
            self._start_s = frame.time or 0.0
            self._funnel = Funnel(frame.sample_rate, self._limits.video_seconds_max)
        self._funnel.push(planes(frame, *self._shape))

    def wave(self, start_s: float) -> Wave:
        """[N], so that sample 0 sounds at `start_s`."""
        if self._funnel is None:
            return silence()
        lead_s = self._start_s - start_s
        bounded("seconds before the sound", lead_s, self._limits.video_seconds_max)
        lead = round(lead_s * AUDIO_RATE_HZ)
        wave = self._funnel.finish()
        return np.pad(wave, (lead, 0)) if lead > 0 else wave[-lead:]


def _probe_frames(part: Part, limits: Limits) -> Probe:
    """Timed pictures: every picture's header is read."""
    check_times(part.frames, limits)
    sizes = [_picture_probe(at, frame, limits) for at, frame in enumerate(part.frames)]
    first = sizes[0]
    if any((size.width, size.height) != (first.width, first.height) for size in sizes):
        raise MalformedMedia("the frames are not all of one size", "frames")
    _check_size(first.width, first.height, limits)
    seconds = part.frames[-1].time_us / 1_000_000
    return Probe(
        "video",
        "frames",
        seconds=seconds,
        width=first.width,
        height=first.height,
        frames=len(sizes),
        decoded_bytes=_kept_bytes(first.width * first.height, len(sizes), seconds, limits),
    )


def check_times(frames: tuple[Frame, ...], limits: Limits) -> None:
    """Raise unless so many pictures at such times are taken."""
    if not frames:
        raise MalformedMedia("the video holds no frames", "frames")
    bounded("frames", len(frames), limits.video_frames_max, "frames")
    bounded(
        "bytes in the part",
        sum(len(frame.image) for frame in frames),
        limits.part_bytes_max,
        "frames",
    )
    times = [frame.time_us for frame in frames]
    if times[0] != 0 or any(late <= early for early, late in pairwise(times)):
        raise MalformedMedia("the times of frames begin at 0 and rise", "frames")
    bounded("seconds of video", times[-1] / 1_000_000, limits.video_seconds_max, "frames")


def _picture_probe(at: int, frame: Frame, limits: Limits) -> Probe:
    try:
        return image.probe(Part("image", frame.image), limits)
    except (MalformedMedia, LimitExceeded) as error:
        raise type(error)(error.message, f"frames[{at}].image") from error


def _decode_frames(part: Part, limits: Limits) -> Clip:
    _probe_frames(part, limits)
    sieve = _Sieve(limits)
    for frame in part.frames:
        time_s = frame.time_us / 1_000_000
        if sieve.due(time_s):
            pixels = image.decode(Part("image", frame.image), limits)
            if pixels.shape[0] * pixels.shape[1] > limits.video_kept_pixels_max:
                pixels = _shrunk(VideoFrame.from_ndarray(pixels, format="rgb24"), limits)
            sieve.keep(time_s, pixels)
    return Clip(sieve.frames())

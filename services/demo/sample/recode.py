"""Source media → small media: 16 kHz Opus, palette PNG, two-second clips. Same input, same bytes.

Shapes: audio is float32 [N] at 16 kHz; pictures are RGB.
"""

import io
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import cast

import av
import numpy as np
from numpy.typing import NDArray
from PIL import Image

Audio = NDArray[np.float32]

RATE_HZ = 16_000
PHOTO_PX = 96
CLIP_FPS = 8
PEAK = 0.7
BITEXACT = {"fflags": "+bitexact"}
"""Without it a container carries random serial numbers."""

QUIET = 0.02
"""Of the peak: below it is silence."""

SILENT = 0.001
"""A peak below it is a placeholder file: some stamps have one to stay quiet."""

MARGIN = RATE_HZ // 20
"""Samples of silence left at either end."""


def hear(path: Path, container: str | None = None) -> Audio:
    """A sound file as mono at 16 kHz, silence trimmed, its peak at 0.7; empty if all is silence."""
    resampler = av.AudioResampler(format="flt", layout="mono", rate=RATE_HZ)
    with av.open(str(path), format=container) as source:
        frames = [out for frame in source.decode(audio=0) for out in resampler.resample(frame)]
    frames += resampler.resample(None)
    samples = np.concatenate([frame.to_ndarray()[0] for frame in frames]).astype(np.float32)
    peak = np.abs(samples).max()
    if peak < SILENT:
        return samples[:0]
    loud = np.flatnonzero(np.abs(samples) > QUIET * peak)
    samples = samples[max(0, loud[0] - MARGIN) : loud[-1] + MARGIN]
    return samples * np.float32(PEAK / peak)


def shorten(samples: Audio, seconds_max: float) -> Audio:
    """Cut at the quietest 20 ms in the last half of what is allowed, with a short fade."""
    most = int(seconds_max * RATE_HZ)
    if len(samples) <= most:
        return samples
    window = RATE_HZ // 50
    energy = np.convolve(samples[:most] ** 2, np.ones(window, np.float32), mode="valid")
    end = most // 2 + int(np.argmin(energy[most // 2 :])) + window
    cut = samples[:end].copy()
    cut[-MARGIN:] *= np.linspace(1, 0, MARGIN, dtype=np.float32)
    return cut


def opus(samples: Audio, bit_rate: int) -> bytes:
    """Ogg with one Opus stream, in pages of 100 ms: libsndfile refuses many that are one page."""
    file = io.BytesIO()
    pages = {"page_duration": "100000"}
    with av.open(file, "w", format="ogg", options=BITEXACT | pages) as sink:
        stream = sink.add_stream("libopus", rate=RATE_HZ, layout="mono", bit_rate=bit_rate)
        _sound(sink, stream, samples)
    return file.getvalue()


def _sound(sink: av.container.OutputContainer, stream: av.AudioStream, samples: Audio) -> None:
    stream.codec_context.flags |= av.codec.context.Flags.bitexact
    frame = av.AudioFrame.from_ndarray(samples[None], format="fltp", layout="mono")
    frame.rate = RATE_HZ
    resampler = av.AudioResampler(
        format=stream.codec_context.format,
        layout="mono",
        rate=stream.codec_context.sample_rate,
        frame_size=stream.codec_context.frame_size,
    )
    for piece in (*resampler.resample(frame), *resampler.resample(None), None):
        sink.mux(stream.encode(piece))


def photo(path: Path) -> Image.Image:
    """A stamp on white, padded to a square."""
    with Image.open(path) as source:
        stamp = source.convert("RGBA")
    white = Image.new("RGBA", stamp.size, "white")
    flat = Image.alpha_composite(white, stamp).convert("RGB")
    side = max(flat.size)
    square = Image.new("RGB", (side, side), "white")
    square.paste(flat, ((side - flat.width) // 2, (side - flat.height) // 2))
    return square


def thumbnail(picture: Image.Image) -> bytes:
    """96×96 in 64 colours: a third of the bytes of true colour."""
    small = picture.resize((PHOTO_PX, PHOTO_PX), Image.Resampling.LANCZOS)
    return png(small.quantize(64, method=Image.Quantize.MEDIANCUT, dither=Image.Dither.NONE))


def png(picture: Image.Image) -> bytes:
    """Smallest PNG."""
    file = io.BytesIO()
    picture.save(file, "PNG", optimize=True)
    return file.getvalue()


def pan(picture: Image.Image, path: Sequence[Sequence[float]], count: int) -> list[Image.Image]:
    """Frames of a camera that moves from one box (x, y, side; of the picture's 1) to another."""
    start, stop = (np.array(box) * picture.width for box in path)
    frames = []
    for step in np.linspace(0, 1, count):
        x, y, side = start + (stop - start) * step
        frames.append(
            picture.resize(
                (PHOTO_PX, PHOTO_PX), Image.Resampling.LANCZOS, (x, y, x + side, y + side)
            )
        )
    return frames


VIDEO = {
    # In assembler x264 reads past its planes, and its bytes vary with what lies there.
    "mp4": ("libx264", "libopus", {"crf": "30", "threads": "1", "x264-params": "asm=0"}),
    "webm": ("libvpx-vp9", "libopus", {"crf": "40", "b": "0", "threads": "1"}),
}


def clip(container: str, frames: Sequence[Image.Image], sound: Audio | None) -> bytes:
    """An mp4 or webm of these frames, with sound if there is one; or a gif, without."""
    file = io.BytesIO()
    if container == "gif":
        first, *rest = (frame.quantize(48, dither=Image.Dither.NONE) for frame in frames)
        first.save(
            file, "GIF", save_all=True, append_images=rest, duration=1000 // CLIP_FPS, loop=0
        )
        return file.getvalue()
    video_codec, audio_codec, options = VIDEO[container]
    with av.open(file, "w", format=container, options=BITEXACT) as sink:
        video = cast(av.VideoStream, sink.add_stream(video_codec, CLIP_FPS, options=options))
        video.width = video.height = PHOTO_PX
        video.pix_fmt = "yuv420p"
        video.codec_context.flags |= av.codec.context.Flags.bitexact
        audio = None
        if sound is not None:
            added = sink.add_stream(audio_codec, RATE_HZ, layout="mono", bit_rate=24_000)
            audio = cast(av.AudioStream, added)
        for index, picture in enumerate(frames):
            frame = av.VideoFrame.from_ndarray(np.asarray(picture), format="rgb24")
            frame.pts, frame.time_base = index, Fraction(1, CLIP_FPS)
            sink.mux(video.encode(frame))
        sink.mux(video.encode(None))
        if audio is not None and sound is not None:
            _sound(sink, audio, sound)
    return file.getvalue()

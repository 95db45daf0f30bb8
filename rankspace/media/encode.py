"""Media out: decoded sound, pictures and frames into files.

Exact: wav and flac for sound on the 16-bit grid, png for pictures. The rest is lossy.

Shapes: samples float32 [N], mono, clipped to [-1, 1]; pixels uint8 [H, W, 3]; frames a sequence of
pixels of one size. Source of the wav header: Multimedia Programming Interface and Data
Specifications 1.0.
"""

import struct
from collections.abc import Sequence
from fractions import Fraction
from io import BytesIO
from itertools import pairwise

import av
import numpy as np
import soundfile
from av.audio.frame import AudioFrame
from av.audio.stream import AudioStream
from av.container import OutputContainer
from av.video.frame import VideoFrame
from av.video.stream import VideoStream
from PIL import Image

from rankspace.media.clip import AUDIO_RATE_HZ, Pixels, Wave

_UNKNOWN_BYTES = 0xFFFF_FFFF
_HEADER_BYTES = 44
_BLOCK = 1 << 14
"""Samples a write: libsndfile's Vorbis encoder keeps a whole write on its stack."""


def pcm_s16le(samples: Wave) -> bytes:
    """Samples as 16-bit little-endian integers."""
    return np.clip(np.rint(samples * 32768), -32768, 32767).astype("<i2").tobytes()


def wav_header(
    rate_hz: int = AUDIO_RATE_HZ, channels: int = 1, samples: int | None = None
) -> bytes:
    """The 44 bytes before the PCM; without `samples` the length is left open, for streaming."""
    step = 2 * channels
    size = _UNKNOWN_BYTES if samples is None else samples * step
    whole = min(size + _HEADER_BYTES - 8, _UNKNOWN_BYTES)
    form = struct.pack("<HHIIHH", 1, channels, rate_hz, rate_hz * step, step, 16)
    return struct.pack("<4sI8sI16s4sI", b"RIFF", whole, b"WAVEfmt ", 16, form, b"data", size)


def wav(samples: Wave, rate_hz: int = AUDIO_RATE_HZ) -> bytes:
    """A 16-bit mono wav."""
    return wav_header(rate_hz, samples=len(samples)) + pcm_s16le(samples)


def flac(samples: Wave, rate_hz: int = AUDIO_RATE_HZ) -> bytes:
    """A 16-bit mono flac."""
    return _sndfile(samples, rate_hz, "FLAC", "PCM_16")


def ogg(samples: Wave, rate_hz: int = AUDIO_RATE_HZ) -> bytes:
    """Vorbis in ogg, mono."""
    return _sndfile(samples, rate_hz, "OGG", "VORBIS")


def opus(samples: Wave, rate_hz: int = AUDIO_RATE_HZ) -> bytes:
    """Opus in ogg, mono; the rate is 8, 12, 16, 24 or 48 kHz."""
    return _sndfile(samples, rate_hz, "OGG", "OPUS")


def mp3(samples: Wave, rate_hz: int = AUDIO_RATE_HZ) -> bytes:
    """MP3, mono."""
    return _sndfile(samples, rate_hz, "MP3", "MPEG_LAYER_III")


def png(pixels: Pixels) -> bytes:
    """A png, exact."""
    return _pillow(pixels, "PNG")


def jpeg(pixels: Pixels, quality: int = 90) -> bytes:
    """A jpeg."""
    return _pillow(pixels, "JPEG", quality)


def webp(pixels: Pixels, quality: int = 90) -> bytes:
    """A lossy webp."""
    return _pillow(pixels, "WEBP", quality)


def gif(frames: Sequence[Pixels], fps: int | float) -> bytes:
    """An animation of at most 256 colours a frame; times are rounded to hundredths of a second."""
    first, *rest = map(Image.fromarray, frames)
    ends_ms = [10 * round(100 * at / fps) for at in range(len(frames) + 1)]
    out = BytesIO()
    first.save(
        out,
        "GIF",
        save_all=True,
        append_images=rest,
        duration=[late - early for early, late in pairwise(ends_ms)],
        loop=0,
        disposal=1,
    )
    return out.getvalue()


def mp4(frames: Sequence[Pixels], fps: int | float, audio: Wave | None = None) -> bytes:
    """H.264 and AAC; an odd side gains one pixel, because H.264 players want even ones."""
    even = [np.pad(f, ((0, f.shape[0] % 2), (0, f.shape[1] % 2), (0, 0)), "edge") for f in frames]
    return _movie("mp4", {"preset": "veryfast", "crf": "18"}, even, fps, audio)


def webm(frames: Sequence[Pixels], fps: int | float, audio: Wave | None = None) -> bytes:
    """VP9 and Opus."""
    return _movie(
        "webm", {"deadline": "realtime", "cpu-used": "8", "crf": "20", "b": "0"}, frames, fps, audio
    )


def _sndfile(samples: Wave, rate_hz: int, form: str, subtype: str) -> bytes:
    out = BytesIO()
    # Integers, because libsndfile writes floats by 32767 and reads them back by 32768.
    grid = np.frombuffer(pcm_s16le(samples), "<i2")
    with soundfile.SoundFile(out, "w", rate_hz, 1, subtype=subtype, format=form) as file:
        for at in range(0, len(grid), _BLOCK):
            file.write(grid[at : at + _BLOCK])
    return out.getvalue()


def _pillow(pixels: Pixels, form: str, quality: int = 90) -> bytes:
    out = BytesIO()
    Image.fromarray(pixels).save(out, form, quality=quality)
    return out.getvalue()


_CODECS = {"mp4": ("libx264", "aac"), "webm": ("libvpx-vp9", "libopus")}


def _movie(
    form: str,
    options: dict[str, str],
    frames: Sequence[Pixels],
    fps: int | float,
    audio: Wave | None,
) -> bytes:
    video_codec, audio_codec = _CODECS[form]
    out = BytesIO()
    with av.open(out, "w", format=form) as container:
        picture = container.add_stream(video_codec, Fraction(fps).limit_denominator(1001), options)
        if not isinstance(picture, VideoStream):
            raise TypeError(video_codec)
        picture.height, picture.width = frames[0].shape[:2]
        picture.pix_fmt = "yuv420p"
        picture.codec_context.thread_count = 1
        sound = None
        if audio is not None and len(audio):
            sound = container.add_stream(audio_codec, AUDIO_RATE_HZ, layout="mono")
        _mux_frames(container, picture, frames)
        if isinstance(sound, AudioStream) and audio is not None:
            _mux_wave(container, sound, audio)
    return out.getvalue()


def _mux_frames(container: OutputContainer, stream: VideoStream, frames: Sequence[Pixels]) -> None:
    for pixels in frames:
        container.mux(stream.encode(VideoFrame.from_ndarray(pixels, format="rgb24")))
    container.mux(stream.encode(None))


def _mux_wave(container: OutputContainer, stream: AudioStream, wave: Wave) -> None:
    frame = AudioFrame.from_ndarray(np.clip(wave, -1, 1)[None], format="fltp", layout="mono")
    frame.sample_rate = AUDIO_RATE_HZ
    frame.pts = 0  # else the encoder's lead-in counts as sound, and all of it comes late
    frame.time_base = Fraction(1, AUDIO_RATE_HZ)
    container.mux(stream.encode(frame))
    container.mux(stream.encode(None))

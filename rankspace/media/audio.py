"""Sound in: wav and ogg through libsndfile, flac, mp3 and opus through FFmpeg, raw PCM as it is.

libsndfile 1.2 writes its complaints about MP3 to stderr, calls good Opus files malformed (34 of the
386 from Debian's tuxpaint-stamps and asterisk-core-sounds), and with flac it cannot read an unknown
length or tell a wrong one. Every way in yields a `Sound`: what the header says, and blocks of
samples that are decoded only as they are asked for.
"""

import struct
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from io import BytesIO

import numpy as np
import soundfile
from numpy.typing import NDArray

from rankspace.errors import MalformedMedia
from rankspace.media.clip import AUDIO_RATE_HZ, Probe, Wave
from rankspace.media.funnel import Funnel
from rankspace.media.libav import opened, planes
from rankspace.media.limits import Limits, bounded
from rankspace.media.magic import RAW, encoding_of
from rankspace.media.sample import Part
from rankspace.media.strip.whole import bare

_BLOCK = 1 << 15
_SNDFILE = {"wav": ("WAV", "WAVEX"), "ogg": ("OGG",)}
_CHUNKS_MAX = 10_000
"""Chunks before the samples of a wav; a real one has some five."""

_OPEN_ENDED = 0x7FFF_0000
"""A wav that is written as it is recorded cannot know its length and says "very long"."""


@dataclass(frozen=True, slots=True)
class Sound:
    """A sound that is ready to be decoded."""

    rate_hz: int
    channels: int
    samples: int
    """As the header says, a channel; 0 when it does not."""

    blocks: Iterator[NDArray[np.float32]]  # each [n, channels]
    exact: bool
    """Whether another number of samples means that the file is damaged."""


def probe(part: Part, limits: Limits) -> Probe:
    """What the header says. Raises MalformedMedia or LimitExceeded."""
    with _sound(part, limits) as (encoding, sound):
        wave_samples = -(-sound.samples * AUDIO_RATE_HZ // sound.rate_hz)
        return Probe(
            "audio",
            encoding,
            seconds=sound.samples / sound.rate_hz,
            samples=sound.samples,
            decoded_bytes=4 * wave_samples,
        )


def decode(part: Part, limits: Limits) -> Wave:
    """The sound as float32 [N], mono, 16 kHz. Raises MalformedMedia or LimitExceeded."""
    with _sound(part, limits) as (_, sound):
        funnel = Funnel(sound.rate_hz, _seconds_max(limits))
        for block in sound.blocks:
            funnel.push(block)
    if not funnel.samples:
        raise MalformedMedia("the sound holds no samples", "data")
    if sound.exact and sound.samples not in (0, funnel.samples):
        counts = f"{funnel.samples} samples, not the {sound.samples} that its header names"
        raise MalformedMedia(f"the sound is cut short or its header is wrong: {counts}", "data")
    return funnel.finish()


def check_shape(rate_hz: int, channels: int, limits: Limits, *, raw: bool = False) -> None:
    """Raise unless this rate and these channels are taken; raw PCM has fields for them."""
    rate, count = ("rate_hz", "channels") if raw else ("data", "data")
    if rate_hz < 1_000:
        raise MalformedMedia("the sample rate is at least 1000 Hz", rate)
    if channels < 1:
        raise MalformedMedia("a sound has at least one channel", count)
    bounded("samples a second", rate_hz, limits.audio_rate_max, rate)
    bounded("channels", channels, limits.channels_max, count)


def _seconds_max(limits: Limits) -> float:
    return min(limits.audio_seconds_max, limits.decoded_bytes_max / (4 * AUDIO_RATE_HZ))


@contextmanager
def _sound(part: Part, limits: Limits) -> Iterator[tuple[str, Sound]]:
    """The encoding and the sound of a part, its header within limits."""
    encoding = encoding_of(part)
    bounded("bytes in the part", len(part.data), limits.part_bytes_max)
    with _opened(part, encoding, limits) as sound:
        if encoding not in RAW:
            check_shape(sound.rate_hz, sound.channels, limits)
        bounded("seconds of sound", sound.samples / sound.rate_hz, _seconds_max(limits))
        yield encoding, sound


def _opened(part: Part, encoding: str, limits: Limits) -> AbstractContextManager[Sound]:
    if encoding in RAW:
        return _raw(part, limits)
    if encoding == "mp3":  # FFmpeg takes what is at its end for frames
        return _libav(bare(part.data, encoding), encoding)
    return (_sndfile if encoding in _SNDFILE else _libav)(part.data, encoding)


@contextmanager
def _raw(part: Part, limits: Limits) -> Iterator[Sound]:
    check_shape(part.rate_hz, part.channels, limits, raw=True)
    kind = np.dtype(RAW[part.encoding])
    step = kind.itemsize * part.channels
    samples, rest = divmod(len(part.data), step)
    if rest or not samples:
        raise MalformedMedia(
            f"{part.encoding} is a whole number of {step}-byte steps, one at least", "data"
        )
    scale = np.float32(1 / 32768) if kind.kind == "i" else np.float32(1)

    def blocks() -> Iterator[NDArray[np.float32]]:
        for at in range(0, len(part.data), _BLOCK * step):
            count = min(_BLOCK * part.channels, (len(part.data) - at) // kind.itemsize)
            piece = np.frombuffer(part.data, kind, count, at).astype(np.float32)
            yield (piece * scale).reshape(-1, part.channels)

    yield Sound(part.rate_hz, part.channels, samples, blocks(), exact=True)


@contextmanager
def _sndfile(data: bytes, encoding: str) -> Iterator[Sound]:
    if encoding == "wav":
        _check_riff(data)
    try:
        with soundfile.SoundFile(BytesIO(data)) as file:
            if file.format not in _SNDFILE[encoding]:
                raise MalformedMedia(f"the file is not {encoding} inside", "data")
            yield Sound(file.samplerate, file.channels, _length(file), _blocks(file), exact=True)
    except soundfile.SoundFileError as error:
        raise MalformedMedia(f"the {encoding} is damaged or cut short", "data") from error


def _length(file: soundfile.SoundFile) -> int:
    """0 where the header does not know, for which libsndfile says 2⁶³ - 1."""
    frames = int(file.frames)
    return frames if 0 < frames < 1 << 62 else 0


def _blocks(file: soundfile.SoundFile) -> Iterator[NDArray[np.float32]]:
    while len(block := file.read(_BLOCK, "float32", always_2d=True)):
        yield block


@contextmanager
def _libav(data: bytes, encoding: str) -> Iterator[Sound]:
    with opened(data, encoding) as container:
        if not container.streams.audio:
            raise MalformedMedia(f"the {encoding} holds no sound", "data")
        stream = container.streams.audio[0]
        samples = round((stream.duration or 0) * (stream.time_base or 0) * stream.sample_rate)
        shape = (stream.sample_rate, stream.channels)
        frames = (planes(frame, *shape) for frame in container.decode(stream))
        yield Sound(*shape, samples, _gathered(frames), exact=encoding == "flac")


def _gathered(frames: Iterator[NDArray[np.float32]]) -> Iterator[NDArray[np.float32]]:
    """Frames of some 20 ms joined into blocks: resampling each alone takes five times as long."""
    held: list[NDArray[np.float32]] = []
    for frame in frames:
        held.append(frame)
        if sum(map(len, held)) >= _BLOCK:
            yield np.concatenate(held)
            held = []
    if held:
        yield np.concatenate(held)


def _check_riff(data: bytes) -> None:
    """Refuse a wav whose samples end before its header says so; libsndfile would not tell."""
    at = 12
    for _ in range(_CHUNKS_MAX):
        if at + 8 > len(data):
            break
        name, size = struct.unpack_from("<4sI", data, at)
        if name == b"data":
            if len(data) - at - 8 < size < _OPEN_ENDED:
                raise MalformedMedia("the wav is cut short: its header names more bytes", "data")
            return
        at += 8 + size + size % 2
    raise MalformedMedia("the wav holds no samples", "data")

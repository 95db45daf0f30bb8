"""Sound in: wav and ogg through libsndfile, flac, mp3 and opus through FFmpeg, raw PCM as it is.

libsndfile 1.2 writes its complaints about MP3 to stderr, calls good Opus files malformed (34 of the
386 from Debian's tuxpaint-stamps and asterisk-core-sounds), and with flac it cannot read an unknown
length or tell a wrong one. Every way in yields a `Sound`: what the header says, and blocks of
samples that are decoded only as they are asked for.
"""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from io import BytesIO

import numpy as np
import soundfile
from numpy.typing import NDArray

from rankspace.errors import MalformedMedia
from rankspace.media.audio_headers import Header, check_riff, flac_header, wav_header
from rankspace.media.clip import AUDIO_RATE_HZ, Probe, Wave
from rankspace.media.funnel import Funnel
from rankspace.media.libav import opened, planes
from rankspace.media.limits import Limits, bounded
from rankspace.media.magic import RAW, encoding_of
from rankspace.media.sample import Part
from rankspace.media.strip.whole import bare

_BLOCK = 1 << 15
_SNDFILE = {"wav": ("WAV", "WAVEX"), "ogg": ("OGG",)}


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
        return _probed(encoding, sound.rate_hz, sound.samples)


def told(part: Part, size: int, limits: Limits) -> Probe | None:
    """The same from the first bytes of a raw, wav or flac part of `size` bytes, if they tell it."""
    encoding = encoding_of(part)
    if encoding in RAW:
        check_shape(part.rate_hz, part.channels, limits, raw=True)
        header: Header | None = (part.rate_hz, part.channels, _raw_samples(part, size))
    else:
        header = wav_header(part.data, size) if encoding == "wav" else flac_header(part.data)
    if header is None:
        return None
    rate_hz, channels, samples = header
    check_shape(rate_hz, channels, limits)
    bounded("seconds of sound", samples / rate_hz, _seconds_max(limits))
    return _probed(encoding, rate_hz, samples)


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


def _probed(encoding: str, rate_hz: int, samples: int) -> Probe:
    wave_samples = -(-samples * AUDIO_RATE_HZ // rate_hz)
    seconds, size = samples / rate_hz, 4 * wave_samples
    return Probe("audio", encoding, seconds=seconds, samples=samples, decoded_bytes=size)


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
    samples = _raw_samples(part, len(part.data))
    scale = np.float32(1 / 32768) if kind.kind == "i" else np.float32(1)

    def blocks() -> Iterator[NDArray[np.float32]]:
        for at in range(0, len(part.data), _BLOCK * step):
            count = min(_BLOCK * part.channels, (len(part.data) - at) // kind.itemsize)
            piece = np.frombuffer(part.data, kind, count, at).astype(np.float32)
            yield (piece * scale).reshape(-1, part.channels)

    yield Sound(part.rate_hz, part.channels, samples, blocks(), exact=True)


def _raw_samples(part: Part, size: int) -> int:
    step = int(RAW[part.encoding][-1]) * part.channels
    samples, rest = divmod(size, step)
    if rest or not samples:
        raise MalformedMedia(
            f"{part.encoding} is a whole number of {step}-byte steps, one at least", "data"
        )
    return samples


@contextmanager
def _sndfile(data: bytes, encoding: str) -> Iterator[Sound]:
    if encoding == "wav":
        check_riff(data)
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

"""Sound as two symbols every 40 ms: how loud it is, and what shape its spectrum has.

Four log-mel frames make a group. Its gain is their mean in dB, in even steps; its shape is what is
left, coded as the nearest of a learnt set (PCA, then k-means). So the same sound, louder, has the
same shape symbols and higher gain symbols. Bands more than `range_db` below the loudest of their
group are lifted to there: what cannot be heard must not cost codes. A group under the lowest gain
is silence: gain 0 and the one shape that means nothing.

    gain = round((mean(group) - floor) / step) in [1, gains),   shape = group - mean(group)
    symbols of a group: [gain, gains + 1 + code];   of silence: [0, gains]

Every shape also remembers the mean pitch of the sounds it was learnt from, so that voices come back
as voices. Lost: phase, pitch beyond that, and what the shapes miss. The length is rounded up to
40 ms. Samples leave the decoder 200 samples (12.5 ms) behind the end of the last group pushed.

Shapes: samples float32 [N] at 16 kHz; mel float32 [T, 40] in dB, 100 frames a second, T a multiple
of 4; symbols int32 [T / 2].
Source: gain-shape vector quantisation, Buzo, Gray, Gray, Markel, "Speech coding based upon vector
quantization", IEEE TASSP 28(5), 1980.
"""

from collections.abc import Iterable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from rankspace.codecs import files
from rankspace.codecs.base import Symbols
from rankspace.codecs.phase import STEP, Voice
from rankspace.codecs.pitch import pitches
from rankspace.codecs.quantiser import Floats, Quantiser, fit
from rankspace.codecs.spectrum import BANDS, HOP, LEAD, energies, magnitudes
from rankspace.config import Config, parse
from rankspace.errors import InvalidInput, MalformedMedia
from rankspace.media.sample import Modality

FRAMES = 4  # mel frames a group
GROUP = FRAMES * HOP  # samples a group
SILENCE_DB = -130.0
EDGE = 3  # frames before the first and after the last, so that as many overlap there as elsewhere
WAVES = 4  # a gain is described by that many half-waves over the scale of gains


class AudioConfig(Config):
    """The two alphabets."""

    codes: int = Field(default=512, ge=2, le=65536)
    """How many shapes there are."""

    dims: int = Field(default=24, ge=1, le=FRAMES * BANDS)
    """Directions of a shape that are kept."""

    gains: int = Field(default=32, ge=3, le=256)
    """How many gains there are, silence among them."""

    gain_step_db: float = Field(default=3.0, gt=0)
    """From one gain to the next."""

    gain_floor_db: float = -108.0
    """The gain called 0; a group that rounds to it or lower is silence. Speech lies near -60."""

    range_db: float = Field(default=50.0, gt=0)
    """How far below the loudest band of its group a band may lie."""

    groups_max: int = Field(default=30_000, ge=1)
    """How many groups to learn from."""

    seed: int = 0
    """Of the draw of groups and of k-means."""


class AudioCodec(files.Kept):
    """Mono sound at 16 kHz to symbols and back."""

    name: Modality = "audio"
    cycle = 2

    def __init__(self, config: AudioConfig, quantiser: Quantiser, pitch: Floats) -> None:
        self.config = config
        self.quantiser = quantiser
        self.pitch = pitch  # [codes] in Hz, 0 for shapes without
        self.size = config.gains + 1 + config.codes
        self.layout = (("audio", self.size),)
        self.slots = (range(config.gains), range(config.gains, self.size))

    @classmethod
    def fit(cls, media: Iterable[Floats], config: AudioConfig | None = None) -> "AudioCodec":
        """Learn the shapes from sounds."""
        config = config or AudioConfig()
        shapes, pitch = _drawn(media, config)
        even = np.eye(FRAMES * BANDS, dtype=np.float32)
        quantiser = fit(shapes, (config.dims, config.codes, 1), config.seed, even)
        return cls(config, quantiser, _means(quantiser.nearest(shapes)[:, 0], pitch, config.codes))

    @property
    def features(self) -> Floats:
        """[size, dims + WAVES]: where a shape lies; half-waves of a gain; nothing for silence."""
        config = self.config
        table = np.zeros((self.size, config.dims + WAVES), np.float32)
        table[config.gains + 1 :, : config.dims] = self.quantiser.features
        level = (np.arange(config.gains) + 0.5) / config.gains
        table[: config.gains, config.dims :] = np.sqrt(2) * np.cos(
            np.pi * level[:, None] * np.arange(1, WAVES + 1)
        )
        return table

    def encoder(self) -> "Encoder":
        return Encoder(self)

    def decoder(self) -> "Decoder":
        return Decoder(self)

    def quantise(self, mel: Floats) -> Symbols:
        """[T, BANDS] in dB, T a multiple of 4, to [T / 2]."""
        config = self.config
        gain, shape = _split(mel, config)
        level = np.rint((gain - config.gain_floor_db) / config.gain_step_db)
        level = np.clip(level, 0, config.gains - 1).astype(np.int32)
        code = self.quantiser.nearest(shape)[:, 0] + config.gains + 1
        code = np.where(level == 0, config.gains, code)
        return np.stack([level, code], 1).reshape(-1).astype(np.int32)

    def restore(self, symbols: Symbols) -> Floats:
        """[2 G] to the mel [4 G, BANDS] they stand for."""
        config = self.config
        level, code = symbols.reshape(-1, 2).T
        gain = config.gain_floor_db + level * config.gain_step_db
        sounds = level > 0
        shape = self.quantiser.points(np.where(sounds, code - config.gains - 1, 0)[:, None])
        mel = np.where(sounds[:, None], gain[:, None] + shape, SILENCE_DB)
        return mel.reshape(-1, BANDS).astype(np.float32)

    @classmethod
    def load(cls, folder: Path) -> "AudioCodec":
        settings, arrays = files.read(folder, cls.name)
        pitch = arrays.pop("pitch")
        return cls(parse(AudioConfig, settings), Quantiser(**arrays), pitch)

    def _state(self) -> tuple[dict[str, object], dict[str, Floats]]:
        return self.config.model_dump(), {**self.quantiser.arrays, "pitch": self.pitch}


class Encoder:
    """Samples cut anywhere; a group's symbols come 120 samples after its end."""

    def __init__(self, codec: AudioCodec) -> None:
        self._codec = codec
        self._held = np.zeros(LEAD, np.float32)
        self._empty = True

    def push(self, piece: Floats, /) -> Symbols:
        self._empty = self._empty and not len(piece)
        self._held = np.concatenate([self._held, np.asarray(piece, np.float32)])
        found = [np.zeros(0, np.int32)]
        # One group at a time, always in the same shape: sums must not depend on the cut.
        while len(self._held) >= LEAD + GROUP + LEAD:
            found.append(self._codec.quantise(energies(self._held[: LEAD + GROUP + LEAD])))
            self._held = self._held[GROUP:]
        return np.concatenate(found)

    def finish(self) -> Symbols:
        """The last group, filled up with silence."""
        missing = -(len(self._held) - LEAD) % GROUP
        if self._empty or len(self._held) == LEAD:
            return np.zeros(0, np.int32)
        return self.push(np.zeros(missing + LEAD, np.float32))


class Decoder:
    """Symbols cut anywhere; samples flow with them, 12.5 ms behind."""

    def __init__(self, codec: AudioCodec) -> None:
        self._codec = codec
        self._held = np.zeros(0, np.int32)
        self._last: Floats | None = None  # [BANDS], the last mel frame
        self._pitch = 0.0
        self._voice = Voice()
        self._skip = EDGE * STEP + LEAD  # the first frame starts before the first sample
        self._due = 0

    def push(self, piece: Symbols, /) -> Floats:
        held = np.concatenate([self._held, piece])
        whole = len(held) // 2 * 2
        self._held = held[whole:]
        sounds = [self._group(group) for group in held[:whole].reshape(-1, 2)]
        return np.concatenate([np.zeros(0, np.float32), *sounds])

    def finish(self) -> Floats:
        """What is still on its way. A gain without its shape is malformed."""
        if len(self._held):
            raise MalformedMedia("sound stops after a gain; its shape symbol is missing")
        if self._last is None:
            return np.zeros(0, np.float32)
        return self._sound(np.repeat(self._last[None], 1 + EDGE, axis=0))

    def _group(self, group: Symbols) -> Floats:
        gains, shapes = self._codec.slots
        if group[0] not in gains or group[1] not in shapes:
            raise MalformedMedia(
                f"sound is pairs of a gain in [0, {gains.stop}) and a shape in "
                f"[{shapes.start}, {shapes.stop})"
            )
        self._due += GROUP
        bands = self._codec.restore(group)  # [FRAMES, BANDS]
        code = int(group[1]) - gains.stop - 1
        self._pitch = float(self._codec.pitch[code]) if group[0] and code >= 0 else 0.0
        first = self._last is None
        before = bands[:1] if self._last is None else self._last[None]
        self._last = bands[-1]
        steps = np.repeat(np.concatenate([before, bands]), 2, axis=0)[1:-1]  # every 5 ms
        steps[::2] = (steps[::2] + steps[1::2]) / 2  # the odd ones lie between two frames
        if first:
            steps = np.concatenate([np.repeat(bands[:1], EDGE, axis=0), steps[1:]])
        return self._sound(steps)

    def _sound(self, bands: Floats) -> Floats:
        pitch = np.full(len(bands), self._pitch, np.float32)
        samples = self._voice.push(magnitudes(bands), pitch)
        skipped = min(self._skip, len(samples))
        self._skip -= skipped
        ready = samples[skipped:][: self._due]
        self._due -= len(ready)
        return ready


def mel(samples: Floats) -> Floats:
    """[N] samples to [T, BANDS] in dB; the last group is filled up with silence."""
    whole = -(-len(samples) // GROUP) * GROUP
    if not whole:
        return np.zeros((0, BANDS), np.float32)
    padded = np.zeros(LEAD + whole + LEAD, np.float32)
    padded[LEAD : LEAD + len(samples)] = samples
    return energies(padded)


def _split(mel: Floats, config: AudioConfig) -> tuple[Floats, Floats]:
    """[T, BANDS] to the gains [G] in dB and the shapes [G, 4 * BANDS]."""
    groups = mel.reshape(-1, FRAMES * BANDS)
    heard = np.maximum(groups, groups.max(1, keepdims=True) - np.float32(config.range_db))
    gain = heard.mean(1)
    return gain, heard - gain[:, None]


def _drawn(media: Iterable[Floats], config: AudioConfig) -> tuple[Floats, Floats]:
    """Shapes [n, 4 * BANDS] and their pitches [n]; at most `groups_max`, none of silence."""
    groups = [(*_split(mel(samples), config), pitches(samples, GROUP)) for samples in media]
    if not groups:
        raise InvalidInput("there is no sound to learn from")
    gain, shapes, pitch = (np.concatenate(parts) for parts in zip(*groups, strict=True))
    heard = np.flatnonzero(gain > config.gain_floor_db + config.gain_step_db / 2)
    if not len(heard):
        raise InvalidInput("all sound to learn from is silent")
    random = np.random.default_rng(config.seed)
    chosen = random.permutation(heard)[: config.groups_max]
    return shapes[chosen], pitch[chosen]


def _means(codes: NDArray[np.int32], pitch: Floats, count: int) -> Floats:
    """[count] the mean pitch of each code, on a log scale; 0 where most have none."""
    voiced = pitch > 0
    every = np.bincount(codes, minlength=count)
    clear = np.bincount(codes[voiced], minlength=count)
    total = np.bincount(codes[voiced], np.log(pitch[voiced]), count)
    mean = np.exp(total / np.maximum(clear, 1))
    return np.where(2 * clear > every, mean, 0).astype(np.float32)

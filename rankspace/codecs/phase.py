"""Magnitudes to samples: every frame borrows its phases from one voice that runs through all.

The voice is a train of pulses at the pitch where there is one, breathier the higher the frequency,
and noise elsewhere. Each frame of the voice keeps its phases and is given the wanted magnitudes;
overlapping frames agree, for their phases come from one signal, and their sum is the sound. There
is nothing to iterate and no future to wait for: the pitch of a frame sets the pulses that enter it
last, 12.5 ms late, which nobody hears.

Shapes: F frames of [BINS] magnitudes of Hann windows, `STEP` samples apart; pitch [F] in Hz, 0 for
none. Every frame closes `STEP` samples, the first of its window.
Source: the channel vocoder, Dudley, "The vocoder", Bell Labs Record 18, 1939; phases by overlap
and add as in Griffin & Lim, "Signal estimation from modified short-time Fourier transform", ASSP
1984, without their iterations (measured: they smooth the pulses away).
"""

import numpy as np
from numpy.typing import NDArray

from rankspace.codecs.base import AUDIO_RATE_HZ
from rankspace.codecs.spectrum import BINS, FFT, HANN, WINDOW, Floats

STEP = 80
OVERLAP = float(np.square(HANN).sum() / STEP)
GLIDE = 0.1  # of the way to the wanted pitch, each frame
BREATH = np.clip(np.linspace(-0.35, 1.65, BINS), 0.15, 1)  # noise's share; all from 5.4 kHz up


class Voice:
    """One stream of frames to samples."""

    def __init__(self) -> None:
        self._random = np.random.default_rng(0)
        self._pulses = np.zeros(WINDOW)
        self._noise = self._random.standard_normal(WINDOW)
        self._turn = 0.0  # turns of the voice so far, the whole ones dropped
        self._pitch = 0.0
        self._open = np.zeros(WINDOW)  # what closed frames left where later ones lie

    def push(self, magnitudes: Floats, pitch: Floats) -> Floats:
        """[F, BINS] and [F] to the next [F * STEP] samples."""
        frames = zip(magnitudes, pitch.tolist(), strict=True)
        closed = [self._close(frame, hertz) for frame, hertz in frames]
        return np.asarray(np.concatenate(closed) / OVERLAP, np.float32)

    def _close(self, magnitudes: Floats, pitch: float) -> NDArray[np.float64]:
        self._breathe(pitch)
        voice = np.fft.rfft(np.stack([self._pulses, self._noise]) * HANN, FFT)
        breath = BREATH if pitch else np.ones(BINS)
        source = (1 - breath) * voice[0] + breath * voice[1]
        frame = np.fft.irfft(magnitudes * source / (np.abs(source) + 1e-9), FFT)
        self._open += frame[:WINDOW] * HANN
        closed = self._open[:STEP]
        self._open = np.concatenate([self._open[STEP:], np.zeros(STEP)])
        return closed

    def _breathe(self, pitch: float) -> None:
        """The next `STEP` samples of the voice enter at the end, with unit power."""
        glide = self._pitch and pitch
        self._pitch = self._pitch * (pitch / self._pitch) ** GLIDE if glide else pitch
        per_sample = self._pitch / AUDIO_RATE_HZ
        turns = self._turn + per_sample * np.arange(1, STEP + 1)
        struck = np.diff(np.floor(turns), prepend=np.floor(self._turn)) > 0
        pulses = struck / np.sqrt(per_sample) if per_sample else np.zeros(STEP)
        self._turn = float(turns[-1] % 1)
        self._pulses = np.concatenate([self._pulses[STEP:], pulses])
        noise = self._random.standard_normal(STEP)
        self._noise = np.concatenate([self._noise[STEP:], noise])

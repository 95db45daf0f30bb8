"""Magnitudes to samples, frame by frame: phases found so that neighbouring frames agree.

Only a few frames are open at a time. When a new frame comes, all open ones are refined together
(each takes the phase of what the sum of all says at its place, and keeps its own magnitude), then
the oldest is closed and never changes again. So samples leave `AHEAD` frames after they came, and
how the frames came in makes no difference.

Shapes: a frame is [BINS] magnitudes of a Hann window; frames lie `STEP` samples apart.
Source: Zhu, Beauregard, Wyse, "Real-time signal estimation from modified short-time Fourier
transform magnitude spectra", IEEE TASLP 15(5), 2007 (RTISI-LA).
"""

import numpy as np

from rankspace.codecs.spectrum import BINS, FFT, HANN, WINDOW, Floats

STEP = 80
AHEAD = 3
ROUNDS = 6
SPAN = WINDOW + AHEAD * STEP


class Phases:
    """One stream of frames to samples."""

    def __init__(self) -> None:
        self._random = np.random.default_rng(0)
        self._wanted = np.zeros((AHEAD + 1, BINS), np.float32)  # open frames, the oldest first
        self._open = np.zeros((AHEAD + 1, WINDOW), np.float32)
        self._closed = np.zeros(SPAN, np.float32)  # what closed frames left where open ones lie
        self._starts = np.arange(AHEAD + 1)[:, None] * STEP + np.arange(WINDOW)
        weight = np.zeros(SPAN, np.float32)
        for start in range(-(WINDOW // STEP) * STEP, SPAN, STEP):
            at = np.arange(max(start, 0), min(start + WINDOW, SPAN))
            if start <= AHEAD * STEP:
                weight[at] += HANN[at - start] ** 2
        self._weight = np.maximum(weight, 1e-2)

    def push(self, magnitudes: Floats) -> Floats:
        """[BINS] of the next frame to `STEP` samples, the first of the frame now closed."""
        self._wanted = np.concatenate([self._wanted[1:], magnitudes[None]])
        noise = self._random.standard_normal(WINDOW).astype(np.float32)
        self._open = np.concatenate([self._open[1:], 1e-4 * noise[None] * HANN])
        for _ in range(ROUNDS):
            self._refine()
        self._closed[:WINDOW] += self._open[0]
        done = np.asarray(self._closed[:STEP] / self._weight[:STEP], np.float32)
        self._closed = np.concatenate([self._closed[STEP:], np.zeros(STEP, np.float32)])
        return done

    def _refine(self) -> None:
        whole = self._closed.copy()
        for row, start in zip(self._open, range(0, SPAN, STEP), strict=False):
            whole[start : start + WINDOW] += row
        whole /= self._weight
        spectra = np.fft.rfft(whole[self._starts] * HANN, FFT)
        size = np.abs(spectra) + 1e-9
        back = np.fft.irfft(spectra * (self._wanted / size), FFT)[:, :WINDOW]
        self._open = (back * HANN).astype(np.float32)

"""Sound as log-mel energies, and back to magnitudes: what the ear keeps of a sound, every 10 ms.

Frame t is a Hann window of 25 ms centred on the hop [160 t, 160 t + 160); its power spectrum is
gathered into 40 triangles that are evenly spaced on the mel scale. The way back is the least
power spectrum, in the least-squares sense, that would have given those energies, with no power
below zero (multiplicative updates). Lost: phase, and pitch but for what the low bands show.

Shapes: N samples at 16 kHz; T frames; `BANDS` bands; `BINS` bins. Energies are in dB.
Source: Davis & Mermelstein, "Comparison of parametric representations for monosyllabic word
recognition", ASSP 1980; the updates are those of Lee & Seung, "Algorithms for non-negative matrix
factorization", NIPS 2000.
"""

from functools import cache

import numpy as np
from numpy.typing import NDArray

from rankspace.codecs.base import AUDIO_RATE_HZ

Floats = NDArray[np.float32]

HOP = 160
WINDOW = 400
LEAD = (WINDOW - HOP) // 2  # samples a frame starts before its hop
FFT = 512
BINS = FFT // 2 + 1
BANDS = 40
BAND_HZ = (50.0, 8000.0)
QUIET = 1e-13  # power; well under the rounding noise of 16 bits

HANN = np.hanning(WINDOW + 1)[:-1].astype(np.float32)


def energies(samples: Floats) -> Floats:
    """[LEAD + HOP * T + LEAD] samples to [T, BANDS] in dB."""
    cut = np.lib.stride_tricks.sliding_window_view(samples, WINDOW)[::HOP]
    spectra = np.fft.rfft(cut * HANN, FFT)  # [T, BINS]
    power = np.square(np.abs(spectra)) / HANN.sum() ** 2
    return np.asarray(10 * np.log10(power @ triangles() + QUIET), np.float32)


def magnitudes(decibels: Floats, rounds: int = 30) -> Floats:
    """[T, BANDS] in dB to [T, BINS]: the magnitudes of Hann windows as in `energies`."""
    bank = triangles()
    wanted = 10 ** (decibels / 10)
    gathered = wanted @ bank.T
    power = gathered / (bank.sum(1) + 1e-9)
    for _ in range(rounds):
        power = power * gathered / (power @ bank @ bank.T + 1e-20)
    return np.asarray(np.sqrt(power) * HANN.sum(), np.float32)


@cache
def triangles() -> Floats:
    """[BINS, BANDS]: the weight of each bin in each band."""
    low, high = (2595 * np.log10(1 + hertz / 700) for hertz in BAND_HZ)
    corners = 700 * (10 ** (np.linspace(low, high, BANDS + 2) / 2595) - 1)
    bins = np.arange(BINS)[:, None] * AUDIO_RATE_HZ / FFT
    rise = (bins - corners[:-2]) / np.diff(corners)[:-1]
    fall = (corners[2:] - bins) / np.diff(corners)[1:]
    return np.clip(np.minimum(rise, fall), 0, None).astype(np.float32)

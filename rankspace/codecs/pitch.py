"""How high a voice is, 25 times a second: the lag at which a sound is most like itself.

Each group of 640 samples is judged by 1,024 around it, Hann-windowed; the autocorrelation is
divided by that of the window, and long lags pay a little, so that octaves below do not win. A group
whose best lag explains less than half of its energy has no pitch.

Shapes: samples [N]; pitches [ceil(N / 640)] in Hz, 0 where there is none.
Source: Boersma, "Accurate short-term analysis of the fundamental frequency and the
harmonics-to-noise ratio of a sampled sound", IFA Proceedings 17, 1993.
"""

import numpy as np

from rankspace.codecs.base import AUDIO_RATE_HZ
from rankspace.codecs.spectrum import Floats

SPAN = 1024
LAGS = np.arange(40, 267)  # 400 Hz to 60 Hz
COST = 5e-4  # a lag longer by one sample must explain that much more
CLEAR = 0.5


def pitches(samples: Floats, group: int) -> Floats:
    """The pitch of each group, 0 where there is none; the last group is filled up with silence."""
    count = -(-len(samples) // group)
    margin = (SPAN - group) // 2
    padded = np.zeros(count * group + 2 * margin, np.float32)
    padded[margin : margin + len(samples)] = samples
    if not count:
        return padded[:0]
    window = np.hanning(SPAN).astype(np.float32)
    cut = np.lib.stride_tricks.sliding_window_view(padded, SPAN)[::group]
    alike = _autocorrelation((cut - cut.mean(1, keepdims=True)) * window)
    own = _autocorrelation(window[None])
    clarity = alike[:, LAGS] / (alike[:, :1] + 1e-9) / (own[:, LAGS] / own[:, :1])
    best = (clarity * (1 - COST * LAGS)).argmax(1)
    found = np.where(clarity.max(1) > CLEAR, AUDIO_RATE_HZ / LAGS[best], 0)
    return np.asarray(found, np.float32)


def _autocorrelation(rows: Floats) -> Floats:
    power = np.square(np.abs(np.fft.rfft(rows, 2 * SPAN)))
    return np.asarray(np.fft.irfft(power)[:, : LAGS[-1] + 1], np.float32)

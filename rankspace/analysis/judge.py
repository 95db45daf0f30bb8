"""Judges that know nothing of the model: they learn from real media only and grade what was made.

`DigitJudge` is a support vector machine on gradient histograms of real handwritten digits.
`SpeechJudge` compares log-mel spectra under dynamic time warping: a spoken word is what its nearest
real clip is. Its mel bands are its own, not the codec's. Both say how far they can be trusted:
their accuracy on real media that they have not learnt.

Shapes: picture uint8 [H, W] or [H, W, 3], light ink on dark; sound float32 [N] at 16 kHz; mel
[T, M].
Laws: the distance is symmetric, 0 for equal sounds, and no louder sound is further away.
Source: Dalal & Triggs, CVPR 2005 (histograms of gradients); Sakoe & Chiba, 1978 (time warping).
"""

from collections.abc import Mapping, Sequence
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from sklearn.svm import SVC

from rankspace.media.clip import AUDIO_RATE_HZ

Picture = NDArray[np.uint8]
Wave = NDArray[np.float32]
Matrix = NDArray[np.float64]

SIDE = 28
CELL = 4
ORIENTATIONS = 8
WINDOW = AUDIO_RATE_HZ // 40
HOP = AUDIO_RATE_HZ // 100
BANDS = 32
LOWEST_HZ, HIGHEST_HZ = 80.0, 7_600.0


class DigitJudge:
    """Says which digit a picture shows."""

    def __init__(self, pictures: Sequence[Picture], digits: Sequence[int]) -> None:
        self._machine = SVC(C=10.0, gamma="scale")
        self._machine.fit([_gradients(picture) for picture in pictures], digits)

    def digits(self, pictures: Sequence[Picture]) -> list[int]:
        if not pictures:
            return []
        found = self._machine.predict([_gradients(picture) for picture in pictures])
        return [int(digit) for digit in found]

    def accuracy(self, pictures: Sequence[Picture], digits: Sequence[int]) -> float:
        """The share that the judge and these digits agree on."""
        return float(np.mean(np.array(self.digits(pictures)) == np.array(digits)))


def _gradients(picture: Picture) -> NDArray[np.float32]:
    """Histograms of gradient directions over overlapping cells; each picture's length is 1."""
    grey = Image.fromarray(picture).convert("L").resize((SIDE, SIDE), Image.Resampling.BILINEAR)
    down, right = np.gradient(np.asarray(grey, np.float32))
    strength = np.hypot(down, right)
    angle = np.arctan2(down, right) % (2 * np.pi) / (2 * np.pi) * ORIENTATIONS
    below = np.floor(angle)
    share = angle - below
    maps = np.zeros((ORIENTATIONS, SIDE, SIDE), np.float32)
    rows, columns = np.indices((SIDE, SIDE))
    maps[below.astype(int) % ORIENTATIONS, rows, columns] += strength * (1 - share)
    maps[(below.astype(int) + 1) % ORIENTATIONS, rows, columns] += strength * share
    sums = maps.reshape(ORIENTATIONS, SIDE // CELL, CELL, SIDE // CELL, CELL).sum((2, 4))
    blocks = sums[:, :-1, :-1] + sums[:, 1:, :-1] + sums[:, :-1, 1:] + sums[:, 1:, 1:]
    features = np.sqrt(blocks).ravel()
    return features / max(float(np.linalg.norm(features)), 1e-6)


class SpeechJudge:
    """Says which of its words was spoken."""

    def __init__(self, clips: Mapping[str, Sequence[Wave]]) -> None:
        self._known = [(word, log_mel(wave)) for word, waves in clips.items() for wave in waves]

    def word(self, wave: Wave) -> str:
        """The word of the nearest real clip."""
        mel = log_mel(wave)
        return min((warped_distance(mel, known), word) for word, known in self._known)[1]

    def accuracy(self, clips: Mapping[str, Sequence[Wave]]) -> float:
        """The share of these clips that are nearest to one of their own word."""
        right = [self.word(wave) == word for word, waves in clips.items() for wave in waves]
        return float(np.mean(right)) if right else 0.0


def log_mel(wave: Wave) -> Matrix:
    """Log-mel spectrum [T, M]: floor 50 dB under the loudest, the mean of each band taken off."""
    padded = np.pad(wave.astype(np.float64), (0, max(0, WINDOW - len(wave))))
    starts = np.arange(0, len(padded) - WINDOW + 1, HOP)
    frames = padded[starts[:, None] + np.arange(WINDOW)] * np.hanning(WINDOW)
    power = np.abs(np.fft.rfft(frames, axis=1)) ** 2
    energy = power @ MEL.T
    logs = np.log(np.maximum(energy, energy.max() * 1e-5 + 1e-12))
    return logs - logs.mean(0)


def _mel_bands() -> Matrix:
    """Triangles, equally spaced in mel. [M, WINDOW / 2 + 1]."""
    mel = np.linspace(
        1127 * np.log1p(LOWEST_HZ / 700), 1127 * np.log1p(HIGHEST_HZ / 700), BANDS + 2
    )
    edges = 700 * np.expm1(mel / 1127)
    rise = np.fft.rfftfreq(WINDOW, 1 / AUDIO_RATE_HZ)[None] - edges[:, None]
    slopes = [(rise[at] / step) for at, step in enumerate(np.diff(edges))]
    bands = [np.minimum(up, 1 - down) for up, down in pairwise(slopes)]
    return np.maximum(np.array(bands), 0)


MEL = _mel_bands()


def warped_distance(one: Matrix, other: Matrix) -> float:
    """Mean distance of frames along the cheapest monotone alignment. one [T, M], other [S, M]."""
    cost = np.sqrt(
        np.maximum(
            (one**2).sum(1)[:, None] + (other**2).sum(1)[None] - 2 * one @ other.T,
            0,
        )
    )
    rows, columns = cost.shape
    # Cells of one anti-diagonal do not depend on each other; a step along both sequences costs
    # double, so that every alignment has the same total weight.
    total = np.full((rows + 1, columns + 1), np.inf)
    total[0, 0] = 0.0
    for diagonal in range(rows + columns - 1):
        row = np.arange(max(0, diagonal - columns + 1), min(rows, diagonal + 1))
        column = diagonal - row
        here = cost[row, column]
        straight = np.minimum(total[row, column + 1], total[row + 1, column]) + here
        total[row + 1, column + 1] = np.minimum(straight, total[row, column] + 2 * here)
    return float(total[rows, columns] / (rows + columns))

"""Any sound, block by block, into one bounded mono wave at the one rate inside.

    blocks [n, C] at any rate → finite? → clipped → mean over C → resampled → float32 [N] at 16 kHz

The resampler is FFmpeg's swresample, streamed: beside the wave itself it holds some hundred
samples. Its error on sines is below -90 dB, where scipy's `resample_poly` in its default has -60
dB. Law: how the sound is cut into blocks changes nothing.
"""

import numpy as np
from av.audio.frame import AudioFrame
from av.audio.resampler import AudioResampler
from numpy.typing import NDArray

from rankspace.errors import MalformedMedia
from rankspace.media.clip import AUDIO_RATE_HZ, Wave
from rankspace.media.limits import bounded


class Funnel:
    """Use once: `push` blocks, then `finish`."""

    def __init__(self, rate_hz: int, seconds_max: float) -> None:
        self.samples = 0
        """Samples pushed so far, at the rate of the source."""
        self._rate = rate_hz
        self._seconds_max = seconds_max
        self._waves: list[Wave] = []
        self._resampler = (
            None
            if rate_hz == AUDIO_RATE_HZ
            else AudioResampler(format="fltp", layout="mono", rate=AUDIO_RATE_HZ)
        )

    def push(self, block: NDArray[np.float32]) -> None:
        """Take samples [n, C]. Raises MalformedMedia (NaN, infinity) or LimitExceeded."""
        self.samples += len(block)
        bounded("seconds of sound", self.samples / self._rate, self._seconds_max)
        if not np.isfinite(block).all():
            raise MalformedMedia("the sound holds NaN or infinity; send finite samples", "data")
        if len(block):
            self._take(np.clip(block, -1, 1).mean(axis=1, dtype=np.float32))

    def finish(self) -> Wave:
        """The whole wave, [ceil(samples * 16000 / rate)]."""
        if self._resampler is not None and self.samples:
            self._waves += [frame.to_ndarray()[0] for frame in self._resampler.resample(None)]
        whole = np.zeros(-(-self.samples * AUDIO_RATE_HZ // self._rate), np.float32)
        at = 0
        for wave in self._waves:
            wave = wave[: len(whole) - at]
            whole[at : at + len(wave)] = wave
            at += len(wave)
        return np.clip(whole, -1, 1, out=whole)

    def _take(self, mono: Wave) -> None:
        if self._resampler is None:
            self._waves.append(mono)
            return
        frame = AudioFrame.from_ndarray(mono[None], format="fltp", layout="mono")
        frame.sample_rate = self._rate
        self._waves += [piece.to_ndarray()[0] for piece in self._resampler.resample(frame)]

"""Decoded media: what the inside of the library works on.

Text is bytes of UTF-8; audio is float32 [N], mono, at `AUDIO_RATE_HZ`, within [-1, 1]; a picture is
uint8 [H, W, 3] in sRGB; a video is a `Clip`.
"""

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

AUDIO_RATE_HZ = 16_000
"""The one rate inside: speech loses little above 8 kHz, and mel bands need no more here."""


def _silence() -> NDArray[np.float32]:
    return np.zeros(0, np.float32)


@dataclass(frozen=True, slots=True)
class TimedFrame:
    """One decoded video frame."""

    time_us: int
    """Microseconds since the clip's first frame."""

    pixels: NDArray[np.uint8]  # [H, W, 3]


@dataclass(frozen=True, slots=True)
class Clip:
    """A decoded video: frames in order of time, and the sound that goes with them."""

    frames: tuple[TimedFrame, ...]
    audio: NDArray[np.float32] = field(default_factory=_silence)
    """[N] at `AUDIO_RATE_HZ`, starting with the first frame; empty when there is no sound."""

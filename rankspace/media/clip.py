"""Decoded media: what the inside of the library works on, and what a header promises of it.

Text is bytes of UTF-8; audio is float32 [N], mono, at `AUDIO_RATE_HZ`, within [-1, 1]; a picture is
uint8 [H, W, 3] in sRGB; a video is a `Clip`.
"""

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from rankspace.media.sample import Modality

AUDIO_RATE_HZ = 16_000
"""The one rate inside: speech loses little above 8 kHz, and mel bands need no more here."""

Wave = NDArray[np.float32]
"""[N] mono at `AUDIO_RATE_HZ`."""

Pixels = NDArray[np.uint8]
"""[H, W, 3]."""


def silence() -> Wave:
    """No sound at all: [0]."""
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
    audio: NDArray[np.float32] = field(default_factory=silence)
    """[N] at `AUDIO_RATE_HZ`, starting with the first frame; empty when there is no sound."""


@dataclass(frozen=True, slots=True)
class Probe:
    """What the header says; 0 where it says nothing. Decoding holds media to the same limits."""

    modality: Modality
    encoding: str
    """As declared, or found from the magic bytes; "" for text."""

    seconds: float = 0.0
    width: int = 0
    """Pixels, as stored: before a turn that the file asks for."""

    height: int = 0
    frames: int = 0
    samples: int = 0
    """Samples a channel, at the file's own rate."""

    decoded_bytes: int = 0
    """What the decoded media will take in memory."""

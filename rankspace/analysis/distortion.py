"""Known media made strange: what is asked about must not be the very bytes that were learnt.

The ranges are fixed and every draw comes from a seed, so the questions are the same in every run.
Training augments too, but by draws of its own and in other ways: it crops nothing away, leaves
saturation alone, and bends sound in mel bands, where this bends the wave itself.

Shapes: picture uint8 [H, W, 3]; sound float32 [N] at 16 kHz.
Source: Verhelst & Roelands, ICASSP 1993 (tempo by overlap-add of similar waveforms).
"""

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageEnhance

from rankspace.config import Config
from rankspace.media.clip import AUDIO_RATE_HZ

Picture = NDArray[np.uint8]
Wave = NDArray[np.float32]

Range = tuple[float, float]

WINDOW = AUDIO_RATE_HZ // 32
REACH = AUDIO_RATE_HZ // 125


class PhotoDistortion(Config):
    """How far a photo is bent; each range is drawn from evenly."""

    crop: Range = (0.88, 0.96)
    """Side of the window that is kept, of the picture's side; its place is drawn too."""

    rotation_deg: Range = (-8.0, 8.0)
    """Turn, the corners filled with white."""

    brightness: Range = (0.85, 1.15)
    """Factor; likewise contrast and colour."""

    contrast: Range = (0.85, 1.15)
    """Factor."""

    colour: Range = (0.7, 1.3)
    """Factor of saturation."""

    noise: Range = (4.0, 8.0)
    """Standard deviation of Gaussian noise, of 255 levels."""


class SpeechDistortion(Config):
    """How far a sound is bent; each range is drawn from evenly."""

    snr_db: Range = (20.0, 30.0)
    """Level of the sound over the white noise that is added."""

    gain_db: Range = (-9.0, 3.0)
    """Change of level; peaks are held below full scale."""

    tempo: Range = (0.92, 1.08)
    """Factor of speed; the pitch stays."""


def bent_photo(
    pixels: Picture, rng: np.random.Generator, bend: PhotoDistortion | None = None
) -> Picture:
    """A crop of the photo, turned, recoloured and noisy, in its old size."""
    bend = bend or PhotoDistortion()
    height, width = pixels.shape[:2]
    keep = rng.uniform(*bend.crop)
    left, top = rng.uniform(0, 1 - keep, 2) * (width, height)
    picture = Image.fromarray(pixels).rotate(
        rng.uniform(*bend.rotation_deg), Image.Resampling.BICUBIC, fillcolor="white"
    )
    picture = picture.resize(
        (width, height),
        Image.Resampling.BICUBIC,
        (left, top, left + keep * width, top + keep * height),
    )
    picture = ImageEnhance.Brightness(picture).enhance(rng.uniform(*bend.brightness))
    picture = ImageEnhance.Contrast(picture).enhance(rng.uniform(*bend.contrast))
    picture = ImageEnhance.Color(picture).enhance(rng.uniform(*bend.colour))
    noise = rng.normal(0, rng.uniform(*bend.noise), pixels.shape)
    return np.clip(np.rint(np.asarray(picture) + noise), 0, 255).astype(np.uint8)


def bent_speech(wave: Wave, rng: np.random.Generator, bend: SpeechDistortion | None = None) -> Wave:
    """The sound faster or slower, louder or quieter, and noisy."""
    bend = bend or SpeechDistortion()
    spoken = at_tempo(wave, rng.uniform(*bend.tempo))
    level = float(np.sqrt(np.mean(spoken**2))) * 10 ** (-rng.uniform(*bend.snr_db) / 20)
    noisy = spoken + rng.normal(0, max(level, 1e-9), len(spoken))
    louder = noisy * 10 ** (rng.uniform(*bend.gain_db) / 20)
    return np.clip(louder, -1, 1).astype(np.float32)


def at_tempo(wave: Wave, factor: float) -> Wave:
    """The sound `factor` times as fast at the same pitch.

    Windows are taken at the new speed, each moved a little to where it best continues the last.
    """
    half = WINDOW // 2
    padded = np.pad(wave, (half + REACH, WINDOW + half + 2 * REACH))
    window = np.hanning(WINDOW + 1)[:-1]
    count = int(len(wave) / factor / half) + 2
    out = np.zeros((count + 1) * half)
    follows = padded[:WINDOW]
    for at in range(count):
        start = min(int(at * half * factor), len(padded) - WINDOW - 2 * REACH)
        region = padded[start : start + WINDOW + 2 * REACH]
        move = _best_fit(region, follows) if at else REACH
        out[at * half : at * half + WINDOW] += region[move : move + WINDOW] * window
        follows = padded[start + move + half :][:WINDOW]
        follows = np.pad(follows, (0, WINDOW - len(follows)))
    return out[half : half + max(1, int(len(wave) / factor))].astype(np.float32)


def _best_fit(region: Wave, target: Wave) -> int:
    """Where in the region the target differs least in the square."""
    exact = region.astype(np.float64)  # near silence single precision prefers the wrong place
    energy = np.convolve(exact**2, np.ones(len(target)), "valid")
    return int(np.argmin(energy - 2 * np.correlate(exact, target, "valid")))

"""Distortions keep the shape of things, follow their seed, and do what they are named for."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from rankspace.analysis.distortion import (
    PhotoDistortion,
    SpeechDistortion,
    at_tempo,
    bent_photo,
    bent_speech,
)

seeds = st.integers(0, 2**32 - 1)
NONE = PhotoDistortion(
    crop=(1.0, 1.0),
    rotation_deg=(0.0, 0.0),
    brightness=(1.0, 1.0),
    contrast=(1.0, 1.0),
    colour=(1.0, 1.0),
    noise=(0.0, 0.0),
)


def tone(length: int, hz: float = 440.0) -> NDArray[np.float32]:
    return (0.4 * np.sin(2 * np.pi * hz * np.arange(length) / 16_000)).astype(np.float32)


@given(seeds, st.integers(8, 60), st.integers(8, 60))
def test_a_bent_photo_keeps_its_size_and_follows_its_seed(
    seed: int, height: int, width: int
) -> None:
    photo = np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)
    one, same, other = (bent_photo(photo, np.random.default_rng(s)) for s in (seed, seed, seed + 1))
    assert one.shape == photo.shape
    assert np.array_equal(one, same)
    assert not np.array_equal(one, other)


@given(seeds)
def test_no_distortion_changes_nothing(seed: int) -> None:
    photo = np.random.default_rng(seed).integers(0, 256, (24, 24, 3), np.uint8)
    assert np.array_equal(bent_photo(photo, np.random.default_rng(seed), NONE), photo)


@given(st.integers(800, 9000), st.floats(0.7, 1.4))
def test_tempo_sets_the_length_and_keeps_the_pitch(length: int, factor: float) -> None:
    faster = at_tempo(tone(length), factor)
    assert len(faster) == int(length / factor)
    if len(faster) > 4000:
        middle = faster[500:-500] * np.hanning(len(faster) - 1000)
        peak = np.argmax(np.abs(np.fft.rfft(middle))) * 16_000 / len(middle)
        assert abs(peak - 440) < 20


@given(st.integers(600, 6000), seeds)
def test_the_tempo_one_changes_nothing(length: int, seed: int) -> None:
    sound = np.random.default_rng(seed).uniform(-1, 1, length).astype(np.float32)
    assert np.allclose(at_tempo(sound, 1.0), sound, atol=1e-3)


@given(seeds)
def test_bent_speech_has_the_noise_and_the_gain_it_was_given(seed: int) -> None:
    bend = SpeechDistortion(tempo=(1.0, 1.0), snr_db=(20.0, 20.0), gain_db=(-6.0, -6.0))
    sound = tone(8000)
    bent = bent_speech(sound, np.random.default_rng(seed), bend)
    noise = bent * 10 ** (6 / 20) - sound
    snr = 10 * np.log10(np.mean(sound**2) / np.mean(noise**2))
    assert abs(snr - 20) < 0.5
    assert np.abs(bent).max() <= 1

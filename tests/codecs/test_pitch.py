"""Pitch against tones whose pitch is known."""

import numpy as np
import pytest

from rankspace.codecs.pitch import pitches

TIME = np.arange(16_000) / 16_000


@pytest.mark.parametrize("hertz", [80, 120, 200, 333])
def test_the_pitch_of_a_voice_is_found(hertz: float) -> None:
    voice = sum((np.sin(2 * np.pi * hertz * n * TIME) / n for n in range(1, 8)), 0 * TIME)
    found = pitches(voice.astype(np.float32), 640)
    assert len(found) == 25
    assert found == pytest.approx(hertz, rel=0.02)


def test_noise_and_silence_have_no_pitch() -> None:
    noise = np.random.default_rng(0).standard_normal(16_000).astype(np.float32)
    assert (pitches(noise, 640) == 0).mean() > 0.9
    assert not pitches(np.zeros(1000, np.float32), 640).any()
    assert len(pitches(np.zeros(0, np.float32), 640)) == 0

"""Any rate and any cutting give one wave at 16 kHz."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from rankspace.errors import LimitExceeded, MalformedMedia
from rankspace.media.clip import AUDIO_RATE_HZ, Wave
from rankspace.media.funnel import Funnel
from tests.strategies import cuttings

RATES = [1_000, 8_000, 11_025, 16_000, 22_050, 44_100, 48_000, 44_101, 192_000]


def poured(blocks: list[NDArray[np.float32]], rate: int) -> Wave:
    funnel = Funnel(rate, 60.0)
    for block in blocks:
        funnel.push(block)
    return funnel.finish()


@given(st.data(), st.sampled_from(RATES), st.integers(1, 3), st.integers(0, 5_000))
def test_cutting_changes_nothing(data: st.DataObject, rate: int, channels: int, n: int) -> None:
    noise = np.random.default_rng(n).uniform(-1, 1, (n, channels)).astype(np.float32)
    pieces = [noise[cut] for cut in data.draw(cuttings(n))]
    np.testing.assert_array_equal(poured(pieces, rate), poured([noise], rate))


@given(st.integers(1_000, 192_000), st.integers(0, 3_000))
def test_the_length_follows_from_the_rate_alone(rate: int, n: int) -> None:
    wave = poured([np.zeros((n, 1), np.float32)], rate)
    assert wave.shape == (-(-n * AUDIO_RATE_HZ // rate),)
    assert wave.dtype == np.float32


@pytest.mark.parametrize("rate", RATES[1:])
@pytest.mark.parametrize("pitch_hz", [100, 440, 3_000])
def test_a_sine_stays_the_same_sine(rate: int, pitch_hz: int) -> None:
    sine = 0.5 * np.sin(2 * np.pi * pitch_hz * np.arange(rate) / rate)
    wave = poured([sine.astype(np.float32)[:, None]], rate)
    inner = slice(800, -800)  # the ends ring
    wanted = 0.5 * np.sin(2 * np.pi * pitch_hz * np.arange(AUDIO_RATE_HZ) / AUDIO_RATE_HZ)
    assert np.abs(wave[inner] - wanted[inner]).max() < 1e-4


def test_what_16_khz_cannot_carry_is_filtered_out() -> None:
    sine = np.sin(2 * np.pi * 9_500 * np.arange(48_000) / 48_000).astype(np.float32)
    wave = poured([sine[:, None]], 48_000)
    assert np.abs(wave[800:-800]).max() < 1e-3


@given(st.integers(1, 8))
def test_channels_that_agree_are_not_made_louder(channels: int) -> None:
    ramp = np.linspace(-1, 1, 100, dtype=np.float32)
    block = np.repeat(ramp[:, None], channels, axis=1)
    np.testing.assert_allclose(poured([block], AUDIO_RATE_HZ), ramp, atol=1e-6)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_a_sound_that_is_not_finite_is_refused(value: float) -> None:
    block = np.zeros((10, 2), np.float32)
    block[7, 1] = value
    with pytest.raises(MalformedMedia, match="NaN or infinity"):
        Funnel(16_000, 1.0).push(block)


def test_the_limit_holds_to_the_sample() -> None:
    funnel = Funnel(8_000, 1.0)
    funnel.push(np.zeros((8_000, 1), np.float32))
    with pytest.raises(LimitExceeded, match="seconds of sound"):
        funnel.push(np.zeros((1, 1), np.float32))


def test_what_is_too_loud_is_clipped() -> None:
    np.testing.assert_array_equal(
        poured([np.array([[3e38], [-2]], np.float32)], AUDIO_RATE_HZ), [1, -1]
    )

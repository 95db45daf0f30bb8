"""The fit finds the law that made the sample, is as sure as it says, and knows its rivals."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from rankspace.errors import InvalidInput
from rankspace.ranks.zipf import fit, split

Counted = NDArray[np.int64]


def drawn(weights: NDArray[np.float64], total: int, seed: int) -> Counted:
    return np.random.default_rng(seed).multinomial(total, weights / weights.sum())


def mandelbrot(ranks: int, beta: float, q: float) -> NDArray[np.float64]:
    return np.exp(-beta * np.log(np.arange(1, ranks + 1) + q))


@pytest.mark.parametrize(
    ("beta", "q", "ranks"), [(1.1, 2.7, 3_000), (0.8, 0.0, 500), (1.5, 20.0, 2_000), (2.2, 1, 400)]
)
def test_beta_and_q_are_recovered_within_three_standard_errors(
    beta: float, q: float, ranks: int
) -> None:
    found = fit(drawn(mandelbrot(ranks, beta, q), 50_000, seed=7))
    assert abs(found.beta - beta) < 3 * found.se_beta < 0.1
    assert abs(found.q - q) < 3 * found.se_q


def test_standard_errors_are_as_wide_as_the_scatter() -> None:
    weights = mandelbrot(300, 1.1, 2.7)
    fits = [fit(drawn(weights, 20_000, seed)) for seed in range(24)]
    off = np.array([((one.beta - 1.1) / one.se_beta, (one.q - 2.7) / one.se_q) for one in fits])
    assert (np.abs(np.sqrt((off**2).mean(0)) - 1) < 0.4).all()


def test_the_published_check_returns_both_or_a_beta_too_small_without_q() -> None:
    """Papers, 11.a: a pure Zipf fitted to (1.1, 2.7) gives about 0.97; with q it gives both."""
    counts = drawn(mandelbrot(10_000, 1.1, 2.7), 200_000, seed=0)
    assert fit(counts, q=0.0).beta == pytest.approx(0.97, abs=0.03)
    found = fit(counts)
    assert found.beta == pytest.approx(1.1, abs=0.01)
    assert found.q == pytest.approx(2.7, abs=0.2)


def test_ranks_from_the_same_sample_bias_beta_downward_and_split_ranks_do_not() -> None:
    """Papers, 11.a: n = 2,000 of a true beta of 1 gave 0.889 with the sample's own ranks."""
    weights = mandelbrot(5_000, 1.0, 0.0)
    samples = [drawn(weights, 2_000, seed) for seed in range(8)]
    own = [fit(np.sort(counts[counts > 0])[::-1].copy(), q=0.0).beta for counts in samples]
    true = [fit(counts, q=0.0).beta for counts in samples]
    halves = [fit(split(counts), q=0.0).beta for counts in samples]
    assert max(own) < 0.92
    assert np.mean(true) == pytest.approx(1, abs=0.02)
    assert np.mean(halves) == pytest.approx(1, abs=0.04)


@given(st.lists(st.integers(0, 50), min_size=1, max_size=40), st.integers(0, 9))
def test_a_split_loses_no_symbol_but_those_that_judge(frequencies: list[int], seed: int) -> None:
    counts = np.array(frequencies, np.int64)
    halves = split(counts, seed)
    assert (halves >= 0).all()
    assert (np.sort(halves) <= np.sort(counts)).all()
    assert np.array_equal(split(counts, seed), halves)


@given(
    st.lists(st.integers(0, 1_000), min_size=5, max_size=60).filter(lambda c: sum(map(bool, c)) > 3)
)
def test_any_counts_have_a_fit_no_worse_than_a_pure_zipf(frequencies: list[int]) -> None:
    counts = np.array(frequencies, np.int64)
    free, pure = fit(counts), fit(counts, q=0.0)
    assert math.isfinite(free.beta)
    assert free.log_likelihood >= pure.log_likelihood - 1e-3
    assert np.exp(free.log_law()).sum() == pytest.approx(1)
    assert free.log_likelihood == pytest.approx(float(counts @ free.log_law()))
    assert pure.se_q == 0


def test_the_mean_energy_of_the_law_is_that_of_the_data() -> None:
    """What maximum likelihood means for a Gibbs law (papers, 11.a)."""
    counts = drawn(mandelbrot(200, 1.3, 4.0), 5_000, seed=3)
    found = fit(counts)
    energy = np.log(np.arange(1, 201) + found.q)
    told = counts @ energy / counts.sum()
    assert np.exp(found.log_law()) @ energy == pytest.approx(float(told), abs=1e-9)


def test_each_law_is_preferred_on_its_own_samples() -> None:
    ranks = np.arange(1, 501)
    zipf = fit(drawn(mandelbrot(500, 1.2, 3.0), 100_000, seed=1))
    assert min(zipf.over_log_normal.z, zipf.over_exponential.z) > 2
    bell = fit(drawn(np.exp(-0.3 * np.log(ranks) ** 2), 100_000, seed=1))
    assert bell.over_log_normal.z < -2
    steep = fit(drawn(np.exp(-0.02 * ranks), 30_000, seed=1))
    assert abs(steep.over_exponential.z) < 2  # with q without bound the law contains it


def test_even_counts_say_nothing_of_q() -> None:
    even = fit(np.full(12, 100, np.int64))
    assert even.beta == pytest.approx(0, abs=1e-6)
    assert even.se_q > 1e3 or math.isinf(even.se_q)


def test_too_little_is_refused() -> None:
    with pytest.raises(InvalidInput, match="at least 4 ranks that were seen, not 3"):
        fit(np.array([5, 4, 3, 0], np.int64))

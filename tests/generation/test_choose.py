"""Choosing: the best when greedy, nothing below the cut, the odds as told, the entropy as asked."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from rankspace.beta import law
from rankspace.generation.choose import Chooser
from rankspace.generation.request import Sampling

LOGITS = st.lists(st.floats(-8, 8, width=32) | st.just(-math.inf), min_size=1, max_size=30).filter(
    lambda z: any(map(math.isfinite, z))
).map(lambda z: np.array(z, np.float32))  # fmt: skip


@given(LOGITS, st.integers(0, 1000), st.floats(0.01, 100))
def test_greedy_takes_the_best_whatever_else_is_asked(
    logits: NDArray[np.float32], seed: int, beta: float
) -> None:
    choice = Chooser(Sampling(greedy=True, seed=seed, beta=beta, cut=0.5)).choose(logits)
    assert logits[choice.index] == logits.max()
    assert choice.kept == 1


@given(LOGITS, st.integers(0, 1000), st.floats(0, 1), st.floats(0.1, 10))
def test_nothing_forbidden_and_nothing_below_the_cut_is_chosen(
    logits: NDArray[np.float32], seed: int, cut: float, beta: float
) -> None:
    choice = Chooser(Sampling(seed=seed, cut=cut, beta=beta)).choose(logits)
    p = law(logits.astype(np.float64), beta)
    assert np.isfinite(logits[choice.index])
    assert p[choice.index] >= cut * p.max() * (1 - 1e-9)
    assert choice.kept == (p[np.isfinite(logits)] >= cut * p.max()).sum()
    assert choice.beta == pytest.approx(beta)
    told = p[p > 0]
    assert choice.entropy == pytest.approx(-(told * np.log(told)).sum(), abs=1e-9)


@given(LOGITS)
def test_the_whole_cut_leaves_only_the_best(logits: NDArray[np.float32]) -> None:
    choice = Chooser(Sampling(cut=1.0)).choose(logits)
    assert logits[choice.index] == pytest.approx(logits.max(), abs=1e-6)


def test_one_seed_makes_one_answer() -> None:
    logits = np.zeros(1000, np.float32)

    def answer(seed: int) -> list[int]:
        chooser = Chooser(Sampling(seed=seed))
        return [chooser.choose(logits).index for _ in range(5)]

    assert answer(1) == answer(1)
    assert answer(1) != answer(2)


def test_symbols_come_as_often_as_their_odds_say() -> None:
    logits = np.log(np.array([0.5, 0.3, 0.2], np.float32))
    chooser = Chooser(Sampling(beta=2.0))
    drawn = np.bincount([chooser.choose(logits).index for _ in range(4000)], minlength=3) / 4000
    np.testing.assert_allclose(drawn, law(logits, 2.0), atol=0.03)


@pytest.mark.parametrize("beta", [0.1, 1.0, 20.0])
@pytest.mark.parametrize("target", [0.5, 1.5, 3.0])
def test_the_entropy_that_is_asked_for_is_held(beta: float, target: float) -> None:
    random = np.random.default_rng(0)
    chooser = Chooser(Sampling(beta=beta, entropy_target=target))
    seen = [chooser.choose(random.normal(0, 3, 60).astype(np.float32)) for _ in range(400)]
    assert np.mean([choice.entropy for choice in seen[100:]]) == pytest.approx(target, abs=0.2)


def test_without_a_target_beta_stays() -> None:
    chooser = Chooser(Sampling(beta=0.7))
    random = np.random.default_rng(0)
    betas = {chooser.choose(random.normal(size=9).astype(np.float32)).beta for _ in range(20)}
    assert len(betas) == 1
    assert betas.pop() == pytest.approx(0.7)


def test_a_target_out_of_reach_winds_nothing_up() -> None:
    chooser = Chooser(Sampling(entropy_target=20.0))
    logits = np.array([0.0, 1.0, 2.0], np.float32)
    entropies = [chooser.choose(logits).entropy for _ in range(300)]
    assert entropies[-1] == pytest.approx(0.98 * math.log(3), abs=0.02)
    alone = chooser.choose(np.array([-np.inf, 1.0], np.float32))
    assert (alone.index, alone.entropy) == (1, 0.0)

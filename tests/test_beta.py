"""The three facts of the controller, on random laws, and what the mixture of sources owes them."""

import math
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from pydantic import ValidationError

from rankspace.beta import (
    Controller,
    Mixture,
    MixtureState,
    entropy,
    law,
    log_law,
    rate_bound,
    solve,
    varentropy,
    varentropy_bound,
)
from rankspace.errors import InvalidInput

Reals = NDArray[np.float64]


@st.composite
def logits(draw: st.DrawFn, outcomes_max: int = 300) -> Reals:
    """Random logits; continuous, hence with one largest."""
    random = np.random.default_rng(draw(st.integers(0, 2**32)))
    outcomes, scale = draw(st.integers(2, outcomes_max)), draw(st.floats(0.1, 10))
    return scale * random.standard_normal(outcomes) ** draw(st.sampled_from([1, 3]))


FRACTIONS = st.floats(0.05, 0.95)
LOG_BETAS = st.floats(-4, 4)


@given(logits(), LOG_BETAS)
def test_fact_one_entropy_falls_at_the_speed_of_the_varentropy(z: Reals, x: float) -> None:
    step = 1e-4
    ahead, behind = (float(entropy(law(z, math.exp(x + side)))) for side in (step, -step))
    told = float(varentropy(law(z, math.exp(x))))
    assert (ahead - behind) / (2 * step) == pytest.approx(-told, rel=1e-3, abs=1e-6)


@given(logits(), FRACTIONS)
def test_fact_one_exactly_one_beta_has_the_target_entropy(z: Reals, fraction: float) -> None:
    target = fraction * math.log(len(z))
    beta = solve(z, target)
    assert float(entropy(law(z, beta))) == pytest.approx(target, abs=1e-9)
    assert float(entropy(law(z, beta * 1.01))) < target < float(entropy(law(z, beta / 1.01)))


@given(logits(outcomes_max=2000), LOG_BETAS)
def test_fact_two_no_law_has_more_varentropy_than_the_bound(z: Reals, x: float) -> None:
    assert float(varentropy(law(z, math.exp(x)))) <= varentropy_bound(len(z))


@pytest.mark.parametrize(
    ("outcomes", "told"), [(10, 2.06), (100, 6.23), (1_000, 12.90), (50_000, 30.26)]
)
def test_fact_two_one_atom_over_an_even_rest_nearly_reaches_it(outcomes: int, told: float) -> None:
    """The largest values agree with those found when the theory was checked (papers, 11.b)."""
    atoms = np.linspace(0.001, 0.999, 500)
    rest = (1 - atoms) / (outcomes - 1)
    mean = -(atoms * np.log(atoms) + (1 - atoms) * np.log(rest))
    square = atoms * np.log(atoms) ** 2 + (1 - atoms) * np.log(rest) ** 2
    largest = float((square - mean**2).max())
    assert largest == pytest.approx(told, abs=0.01)
    assert varentropy_bound(outcomes) - 1 <= largest <= varentropy_bound(outcomes)


@given(logits(), FRACTIONS, st.floats(0.01, 0.999), LOG_BETAS)
def test_fact_two_every_step_below_the_bound_comes_nearer(
    z: Reals, fraction: float, share: float, start: float
) -> None:
    target = fraction * math.log(len(z))
    goal = math.log(solve(z, target))
    held = Controller(target=target, outcomes=len(z), rate=share * rate_bound(len(z)))
    moved = held.step(start, float(entropy(law(z, math.exp(start)))))
    assert abs(moved - goal) <= abs(start - goal) + 1e-9


@settings(max_examples=15)
@given(logits(), st.floats(0.2, 0.8), st.floats(0.3, 0.99), LOG_BETAS)
def test_fact_two_the_controller_arrives_from_any_start(
    z: Reals, fraction: float, share: float, start: float
) -> None:
    target = fraction * math.log(len(z))
    held = Controller(target=target, outcomes=len(z), rate=share * rate_bound(len(z)))
    for _ in range(1_000):
        start = held.step(start, float(entropy(law(z, math.exp(start)))))
    assert float(entropy(law(z, math.exp(start)))) == pytest.approx(target, abs=0.01)


@given(logits(), LOG_BETAS)
def test_fact_three_varentropy_is_heat_capacity(z: Reals, x: float) -> None:
    p, beta = law(z, math.exp(x)), math.exp(x)
    variance = float((p * (z - (p * z).sum()) ** 2).sum())
    assert beta**2 * variance == pytest.approx(float(varentropy(p)), rel=1e-6, abs=1e-9)


def test_the_controller_returns_after_a_shock() -> None:
    z = np.random.default_rng(0).standard_normal(1_000)
    held = Controller(target=3.0, outcomes=1_000)
    x = math.log(solve(z, 3.0))
    for _ in range(30):
        x = held.step(x, float(entropy(law(5 * z, math.exp(x)))))
    assert float(entropy(law(5 * z, math.exp(x)))) == pytest.approx(3.0, abs=0.05)


@given(logits(), LOG_BETAS)
def test_the_law_is_a_law_and_the_impossible_stays_so(z: Reals, x: float) -> None:
    z[1:] = np.where(np.arange(1, len(z)) % 3, z[1:], -np.inf)
    p = law(z, math.exp(x))
    assert p.sum() == pytest.approx(1)
    assert not p[np.isinf(z)].any()
    assert np.isneginf(log_law(z, math.exp(x))[np.isinf(z)]).all()
    assert 0 <= float(entropy(p)) <= math.log(len(z)) + 1e-12


def test_a_target_out_of_reach_is_refused_with_what_is_in_reach() -> None:
    with pytest.raises(InvalidInput, match=r"reach 0\.6931 to 1\.099"):
        solve(np.array([1.0, 1.0, 0.0]), 0.5)
    with pytest.raises(InvalidInput, match="no beta"):
        solve(np.array([-np.inf]), 0.5)
    with pytest.raises(ValidationError, match="below ln 4"):
        Controller(target=1.5, outcomes=4)
    with pytest.raises(ValidationError, match="to be stable"):
        Controller(target=1.0, outcomes=4, rate=2.0)


def test_a_target_out_of_reach_does_not_wind_beta_up_for_ever() -> None:
    held = Controller(target=0.5, outcomes=3, log_beta_max=2.0)
    x = 0.0
    for _ in range(100):
        x = held.step(x, math.log(2))  # two equal logits never fall below ln 2
    assert x == 2.0


SCORES = st.lists(st.floats(-3, 3), min_size=1, max_size=8)


def run(mixture: Mixture, rounds: list[list[float]]) -> list[tuple[float, ...]]:
    """The weights after every round."""
    state, found = mixture.birth(), []
    for scores in rounds:
        state = mixture.step(state, scores)
        found.append(mixture.weights(state))
    return found


@given(SCORES, st.integers(0, 20))
def test_weights_sum_to_one_keep_their_floor_and_follow_the_scores(
    scores: list[float], steps: int
) -> None:
    mixture = Mixture(sources=len(scores), smoothing=0.0)
    weights = run(mixture, [scores] * (steps + 1))[-1]
    assert sum(weights) == pytest.approx(1)
    assert min(weights) >= mixture.floor / len(scores) - 1e-12
    ordered = [weights[index] for index in np.argsort(scores, kind="stable")]
    assert all(low <= high + 1e-12 for low, high in pairwise(ordered))


def test_the_entropy_of_the_mixture_stays_at_its_target() -> None:
    random = np.random.default_rng(0)
    mixture = Mixture(sources=5)
    base = np.array([0.2, 1.0, 0.1, 2.5, 0.4])
    noisy = [(base + 0.1 * random.standard_normal(5)).tolist() for _ in range(200)]
    tail = [float(entropy(np.array(weights))) for weights in run(mixture, noisy)[100:]]
    assert np.mean(tail) == pytest.approx(0.85 * math.log(5), abs=0.02)


@given(st.lists(st.lists(st.floats(-3, 3), min_size=3, max_size=3), max_size=10))
def test_a_mixture_can_be_saved_at_any_point_and_replayed(rounds: list[list[float]]) -> None:
    mixture = Mixture(sources=3)
    state = mixture.birth()
    for scores in rounds:
        state = MixtureState.model_validate_json(state.model_dump_json())
        state = mixture.step(state, scores)
    assert not rounds or mixture.weights(state) == run(mixture, rounds)[-1]


def test_a_source_without_a_score_counts_as_average_and_keeps_what_it_had() -> None:
    mixture = Mixture(sources=3, smoothing=0.5)
    born = mixture.birth()
    assert mixture.weights(born) == pytest.approx((1 / 3,) * 3)
    first = mixture.step(born, [1.0, 3.0, math.nan])
    low, high, unseen = mixture.weights(first)
    assert low < unseen < high
    second = mixture.step(first, [2.0, math.nan, math.nan])
    assert second.scores == (1.5, 3.0, 0.0)
    assert second.seen == (True, True, False)


def test_equal_scores_stay_even_and_one_source_gets_everything() -> None:
    assert run(Mixture(sources=4), [[0.7] * 4] * 50)[-1] == pytest.approx((0.25,) * 4)
    assert run(Mixture(sources=1), [[0.7]] * 3)[-1] == pytest.approx((1.0,))


def test_a_mixture_that_cannot_be_held_is_refused() -> None:
    with pytest.raises(ValidationError, match="floor alone"):
        Mixture(sources=3, floor=0.8)
    with pytest.raises(InvalidInput, match="as many scores"):
        Mixture(sources=3).step(Mixture(sources=3).birth(), [1.0])

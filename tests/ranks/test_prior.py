"""The prior is a law: every row sums to 1, every symbol is possible, sets renormalise it."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from rankspace.errors import InvalidInput
from rankspace.ranks.counts import Counts
from rankspace.ranks.prior import Prior, discounts
from rankspace.ranks.vocabulary import Ids

V = 12
SAMPLES = st.lists(
    st.lists(st.integers(1, V - 1), max_size=25).map(lambda ids: np.array(ids, np.int32)),
    max_size=6,
)
CONTEXTS = st.lists(st.integers(0, V - 1), max_size=3).map(lambda ids: np.array(ids, np.int32))


def fitted(samples: list[Ids], order: int, size: int = V) -> Prior:
    return Prior.fit(Counts.of(samples, 3), size, order)


@given(SAMPLES, st.integers(1, 3), CONTEXTS)
def test_after_any_context_the_odds_sum_to_one_and_leave_nothing_impossible(
    samples: list[Ids], order: int, context: Ids
) -> None:
    row = fitted(samples, order).log_row(context)
    assert np.isfinite(row).all()
    assert np.exp(row.astype(np.float64)).sum() == pytest.approx(1, abs=1e-6)


@given(SAMPLES, st.integers(1, 3))
def test_a_sample_is_scored_symbol_by_symbol(samples: list[Ids], order: int) -> None:
    prior = fitted(samples, order)
    told = prior.log_probs(samples)
    pads = [np.append(np.int32(0), sample) for sample in samples]
    asked = [prior.log_row(sample[:t])[sample[t]] for sample in pads for t in range(1, len(sample))]
    np.testing.assert_allclose(told, asked, rtol=1e-5)
    alone = [prior.log_prob(sample) for sample in samples]
    assert np.array_equal(np.concatenate([told[:0], *alone]), told)


@given(SAMPLES)
def test_the_table_of_pairs_holds_every_row(samples: list[Ids]) -> None:
    prior = fitted(samples, 2)
    table = prior.bigram_table()
    rows = [prior.log_row(np.array([before], np.int32)) for before in range(V)]
    np.testing.assert_allclose(table, rows, rtol=1e-5)
    np.testing.assert_allclose(np.exp(table.astype(np.float64)).sum(1), 1, atol=1e-6)


@given(SAMPLES, st.integers(2, 3))
def test_many_positions_are_asked_at_once(samples: list[Ids], order: int) -> None:
    prior = fitted(samples, order)
    opened = [np.append(np.zeros(order - 1, np.int32), sample) for sample in samples]
    past = [one[t : t + order - 1] for one in opened for t in range(len(one) - order + 2)]
    odds, left = prior.laws(np.array(past, np.int32).reshape(-1, order - 1))
    pads = [np.append(np.int32(0), sample) for sample in samples]
    rows = [prior.log_row(pad[: t + 1]) for pad in pads for t in range(len(pad))]
    np.testing.assert_allclose(odds, np.exp(np.array(rows).reshape(-1, V)), rtol=1e-5)
    assert np.all((left > 0) & (left <= 1))
    assert np.all(odds >= np.multiply.outer(left, prior.base) * (1 - 1e-9))


@given(
    SAMPLES,
    st.integers(1, 3),
    CONTEXTS,
    st.sets(st.integers(0, V - 1), min_size=1).map(lambda ids: np.isin(np.arange(V), list(ids))),
)
def test_a_set_renormalises_the_law_inside_it(
    samples: list[Ids], order: int, context: Ids, mask: NDArray[np.bool_]
) -> None:
    prior = fitted(samples, order)
    whole = np.exp(prior.log_row(context).astype(np.float64))
    inside = np.exp(prior.restrict(mask).log_row(context).astype(np.float64))
    np.testing.assert_allclose(inside, whole * mask / whole[mask].sum(), rtol=1e-5)


def test_what_was_never_seen_is_even() -> None:
    np.testing.assert_allclose(fitted([], 3).log_row(np.array([3, 4], np.int32)), -np.log(V))
    np.testing.assert_allclose(fitted([], 2).log_unigram(), -np.log(V), rtol=1e-6)


def test_the_formula_by_hand() -> None:
    """1 2 1 3: pairs 01 12 21 13, each once, so D = 1/2; below: 1 follows {0, 2}, 2 and 3 {1}."""
    prior = fitted([np.array([1, 2, 1, 3], np.int32)], 2)
    plain = 2 / (2 + 2 * 1)  # the discount below: two symbols with one neighbour, one with two
    lower = {1: (2 - plain) / 4, 2: (1 - plain) / 4, 3: (1 - plain) / 4}
    floor = 3 * plain / 4 / V
    row = np.exp(prior.log_row(np.array([1], np.int32)))
    assert row[2] == pytest.approx(0.5 / 2 + 0.5 * (lower[2] + floor))
    assert row[1] == pytest.approx(0.5 * (lower[1] + floor))
    assert row[9] == pytest.approx(0.5 * floor)


def test_discounts_are_those_of_chen_and_goodman() -> None:
    counts = np.repeat([1, 2, 3, 4, 9], [40, 15, 8, 5, 2])
    plain = 40 / (40 + 30)
    told = [0, 1 - 2 * plain * 15 / 40, 2 - 3 * plain * 8 / 15, 3 - 4 * plain * 5 / 8]
    np.testing.assert_allclose(discounts(counts), told)
    np.testing.assert_allclose(discounts(counts[counts < 4]), [0, plain, plain, plain])
    np.testing.assert_allclose(discounts(counts[counts > 1]), [0, 0.5, 0.5, 0.5])


def test_more_context_pays_on_held_out_data_of_a_markov_chain() -> None:
    random = np.random.default_rng(0)
    law = random.dirichlet(np.full(V - 1, 0.2), V)
    chain = [0]
    for _ in range(12_000):
        chain.append(1 + int(random.choice(V - 1, p=law[chain[-1]])))
    seen, held = (np.array(part, np.int32) for part in (chain[1:9_001], chain[9_001:]))
    true = -np.log(law[held[:-1], held[1:] - 1]).mean()
    one, two = (fitted([seen], order).cross_entropy([held]) for order in (1, 2))
    assert true - 0.05 < two < true + 0.02
    assert one > two + 0.3


def test_the_unigram_is_that_of_frequencies_not_of_contexts() -> None:
    """San Francisco: 7 is frequent but follows only 3; Kneser-Ney's floor knows the difference."""
    random = np.random.default_rng(1)
    pairs = [np.array([3, 7], np.int32)] * 50
    others = [random.integers(1, 7, 4).astype(np.int32) for _ in range(40)]
    prior = fitted(pairs + others, 2)
    assert np.exp(prior.log_unigram()[7]) > 0.15
    assert prior.base[7] < 0.05
    assert np.exp(prior.log_row(np.array([3], np.int32))[7]) > 0.5


def test_impossible_requests_are_refused() -> None:
    with pytest.raises(InvalidInput, match="must be 1 to 3, not 4"):
        fitted([], 4)
    with pytest.raises(InvalidInput, match="beyond a vocabulary of 5"):
        fitted([np.array([5], np.int32)], 2, size=5)
    with pytest.raises(InvalidInput, match="needs order 2, not 3"):
        fitted([], 3).bigram_table()
    with pytest.raises(InvalidInput, match="empty"):
        fitted([], 2).restrict(np.zeros(V, np.bool_))

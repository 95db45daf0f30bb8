"""Ranks lose nothing: every row of the order is a permutation, and messages come back whole."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rankspace.errors import InvalidInput
from rankspace.ranks.counts import Counts
from rankspace.ranks.order import Order, before
from rankspace.ranks.prior import Prior
from rankspace.ranks.vocabulary import Ids

V = 12
IDS = st.lists(st.integers(0, V - 1), max_size=25).map(lambda ids: np.array(ids, np.int32))
SAMPLES = st.lists(IDS, max_size=6)


def prior(samples: list[Ids]) -> Prior:
    return Prior.fit(Counts.of(samples), V)


@given(SAMPLES, IDS)
def test_every_message_comes_back_from_its_ranks(samples: list[Ids], message: Ids) -> None:
    order = Order.of(prior(samples))
    assert np.array_equal(order.symbols(order.ranks(message)), message)
    assert np.array_equal(order.ranks(order.symbols(message)), message)


@given(SAMPLES)
def test_every_row_is_a_permutation_and_the_tables_are_inverse(samples: list[Ids]) -> None:
    order = Order.of(prior(samples))
    for symbols, ranks in zip(order.symbol_table, order.rank_table, strict=True):
        assert np.array_equal(symbols[ranks], np.arange(V))


@given(SAMPLES)
def test_rows_fall_in_expectation_and_ties_go_by_symbol(samples: list[Ids]) -> None:
    memory = prior(samples)
    expected = memory.bigrams()
    by_hand = [sorted(range(V), key=lambda symbol: (-row[symbol], symbol)) for row in expected]
    assert np.array_equal(Order.of(memory).symbol_table, by_hand)


def test_a_context_never_seen_has_the_order_of_the_floor() -> None:
    memory = prior([np.array([1, 2, 1, 3, 1, 2], np.int32)])
    floor = np.argsort(-memory.base, kind="stable")
    assert np.array_equal(Order.of(memory).symbol_table[9], floor)


def test_what_was_learnt_by_heart_is_all_zeros() -> None:
    message = np.array([4, 8, 5, 2, 7, 1], np.int32)
    assert not Order.of(prior([message] * 9)).ranks(message).any()


def test_before_the_first_symbol_stands_pad() -> None:
    assert before(np.array([5, 6, 7], np.int32)).tolist() == [0, 5, 6]


@pytest.mark.parametrize("wrong", [-1, V])
def test_ids_and_ranks_out_of_range_are_refused(wrong: int) -> None:
    order = Order.of(prior([]))
    with pytest.raises(InvalidInput, match="0 to 11"):
        order.ranks(np.array([wrong], np.int32))
    with pytest.raises(InvalidInput, match="0 to 11"):
        order.symbols(np.array([wrong], np.int32))

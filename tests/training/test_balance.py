"""The balance: the ledger draws what the weights say, to within one document, without chance."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rankspace.beta import entropy
from rankspace.training.balance import FRACTION, Balance, BalanceState

SOURCES = st.integers(1, 6).map(lambda count: tuple(f"s{at}" for at in range(count)))
LOSSES = st.floats(0.01, 10) | st.just(math.nan)


def run(balance: Balance, losses: list[list[float]]) -> None:
    for each in losses:
        balance.settle(balance.turn(), each)


@given(st.data())
def test_drawn_shares_are_the_weights_within_one_document(data: st.DataObject) -> None:
    sources = data.draw(SOURCES)
    base = {name: data.draw(st.floats(0.1, 10)) for name in sources}
    sizes = data.draw(st.lists(st.integers(1, 60), min_size=1, max_size=200))
    balance = Balance(sources, base)
    turn, drawn = balance.turn(), np.zeros(len(sources))
    for size in sizes:
        source = turn.source()
        turn.took(source, size)
        drawn[source] += size
    told = np.array(balance.weights) * drawn.sum()
    assert np.abs(drawn - told).max() <= max(sizes) * len(sources)
    assert (drawn - told).max() <= max(sizes)
    np.testing.assert_allclose(told - drawn, turn.owed, atol=1e-6)


@given(st.data())
def test_what_is_owed_is_carried_from_step_to_step(data: st.DataObject) -> None:
    balance = Balance(("a", "b", "c"), {"a": 5.0})
    drawn, told = np.zeros(3), np.zeros(3)
    for sizes in data.draw(st.lists(st.lists(st.integers(1, 60), min_size=1), max_size=20)):
        turn = balance.turn()
        for size in sizes:
            told += np.array(balance.weights) * size
            source = turn.source()
            turn.took(source, size)
            drawn[source] += size
        balance.settle(turn, data.draw(st.lists(LOSSES, min_size=3, max_size=3)))
    assert np.abs(drawn - told).max() <= 3 * 60


@given(SOURCES, st.data())
def test_weights_sum_to_one_and_leave_no_source_out(
    sources: tuple[str, ...], data: st.DataObject
) -> None:
    balance = Balance(sources)
    count = len(sources)
    run(balance, data.draw(st.lists(st.lists(LOSSES, min_size=count, max_size=count))))
    assert sum(balance.weights) == pytest.approx(1)
    assert min(balance.weights) > 0


@given(st.data())
def test_the_same_losses_give_the_same_draws(data: st.DataObject) -> None:
    losses = data.draw(st.lists(st.lists(LOSSES, min_size=3, max_size=3), max_size=20))
    one, two = Balance(("a", "b", "c")), Balance(("a", "b", "c"))
    for each in losses:
        run(one, [each])
        run(two, [each])
        state = BalanceState.model_validate_json(two.state.model_dump_json(by_alias=True))
        two = Balance(("a", "b", "c"), state=state)
    assert one.state == two.state
    assert one.weights == two.weights


@given(st.data())
def test_what_the_user_says_multiplies_what_the_controller_says(data: st.DataObject) -> None:
    losses = data.draw(st.lists(st.lists(LOSSES, min_size=2, max_size=2), max_size=20))
    plain, moved = Balance(("a", "b")), Balance(("a", "b"), {"a": 3.0})
    run(plain, losses)
    run(moved, losses)
    one, two = plain.weights
    assert moved.weights[0] / moved.weights[1] == pytest.approx(3 * one / two)


def test_the_source_with_the_larger_share_of_its_loss_left_is_drawn_more() -> None:
    balance = Balance(("learnt", "hard", "other"))
    run(balance, [[4.0, 2.0, 2.0]] + [[1.0, 1.9, 1.5]] * 200)
    learnt, hard, other = balance.weights
    assert hard > other > learnt
    assert balance.beta > 1
    assert entropy(np.array(balance.weights)) == pytest.approx(FRACTION * math.log(3), abs=1e-3)


def test_a_source_not_yet_seen_counts_as_average() -> None:
    balance = Balance(("a", "b", "c"))
    run(balance, [[1.0, 2.0, math.nan]] + [[1.0, 1.0, math.nan]] * 20)
    low, high, unseen = balance.weights[1], balance.weights[0], balance.weights[2]
    assert low < unseen < high
    assert balance.state.first == (1.0, 2.0, None)

"""PPM is a law, the same as one that recounts all its past, and honest about documents."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks._arms_ppm import Ppm

SIZE = 4
DOCUMENT = st.lists(st.integers(0, SIZE - 1), max_size=12)
DOCUMENTS = st.lists(DOCUMENT, max_size=4)
ORDERS = st.integers(0, 4)


class Recount:
    """The same law from a plain list of (context, symbol) that is counted anew each time."""

    def __init__(self, order: int) -> None:
        self.order = order
        self.past: list[tuple[tuple[int, ...], int]] = []

    def row(self, context: tuple[int, ...]) -> dict[int, int]:
        told = [symbol for before, symbol in self.past if before == context]
        return {symbol: told.count(symbol) for symbol in set(told)}

    def law(self, history: list[int]) -> list[float]:
        odds, p = [0.0] * SIZE, 1.0
        left = set(range(SIZE))
        for k in range(min(len(history), self.order), -1, -1):
            row = {
                s: n for s, n in self.row(tuple(history[len(history) - k :])).items() if s in left
            }
            if not row:
                continue
            total = 2 * sum(row.values())
            if set(row) == left:
                total -= len(row)
            for symbol, count in row.items():
                odds[symbol] = p * (2 * count - 1) / total
            p = 0.0 if set(row) == left else p * len(row) / total
            left -= set(row)
        for symbol in left:
            odds[symbol] = p / len(left)
        return odds

    def read(self, document: list[int]) -> float:
        nats = 0.0
        for t, symbol in enumerate(document):
            history = document[:t]
            nats -= math.log(self.law(history)[symbol])
            found = -1
            contexts = [tuple(history[t - k :]) for k in range(min(t, self.order) + 1)]
            for k, context in enumerate(contexts):
                if symbol in self.row(context):
                    found = k
            self.past += [(context, symbol) for context in contexts[max(found, 0) :]]
        return nats


def read(documents: list[list[int]], order: int) -> tuple[Ppm, Recount]:
    fast, slow = Ppm(SIZE, order), Recount(order)
    for document in documents:
        fast.learn(document)
        slow.read(document)
    return fast, slow


@given(DOCUMENTS, DOCUMENT, ORDERS)
def test_it_says_what_a_recount_of_all_the_past_says(
    documents: list[list[int]], history: list[int], order: int
) -> None:
    fast, slow = read(documents, order)
    assert fast.law(history) == pytest.approx(slow.law(history))
    assert sum(fast.law(history)) == pytest.approx(1)
    assert fast.cost(history) == pytest.approx(slow.read(history))


@given(DOCUMENTS, DOCUMENT, DOCUMENT, ORDERS)
def test_a_document_that_was_costed_leaves_no_trace(
    documents: list[list[int]], first: list[int], second: list[int], order: int
) -> None:
    fast, _ = read(documents, order)
    alone = fast.cost(second)
    fast.cost(first)
    assert fast.cost(second) == alone


@given(DOCUMENTS, DOCUMENT, ORDERS)
def test_what_is_drawn_follows_the_law(
    documents: list[list[int]], history: list[int], order: int
) -> None:
    fast, _ = read(documents, order)
    random = np.random.default_rng(0)
    said = fast.sample(random, end=SIZE, length=20)
    assert len(said) == 20
    assert all(fast.law(said[:t])[symbol] > 0 for t, symbol in enumerate(said))


def test_by_hand() -> None:
    """After abab at order 1: a led to b twice; alone, a was counted twice and b once.

    The last b was found after a, so it was not counted alone.
    """
    ppm = Ppm(256, 1)
    ppm.learn(b"abab")
    row = ppm.law(b"a")
    assert row[ord("b")] == pytest.approx(3 / 4)
    assert row[ord("a")] == pytest.approx(1 / 4 * 3 / 4)
    assert row[ord("z")] == pytest.approx(1 / 4 * 1 / 4 / 254)

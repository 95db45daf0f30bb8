"""A document's own counts never inform its own prior; everything else is Kneser-Ney as it was."""

from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from rankspace.errors import InvalidInput
from rankspace.ranks.counts import Counts
from rankspace.ranks.crossfit import CrossFit
from rankspace.ranks.prior import Prior, discounts
from rankspace.ranks.vocabulary import PAD, Ids

V = 9
DOCUMENTS = st.lists(
    st.lists(st.integers(1, V - 1), max_size=14).map(lambda ids: np.array(ids, np.int32)),
    max_size=6,
)
ORDERS = st.integers(2, 5)


def told(documents: list[Ids], order: int) -> list[Counter[tuple[int, ...]]]:
    """The counts of Kneser-Ney for k = 1 to n, gram by gram, without any array."""
    padded = [(PAD, *document.tolist()) for document in documents]
    grams = [
        Counter(one[t - k + 1 : t + 1] for one in padded for t in range(max(k - 1, 1), len(one)))
        for k in range(1, order + 1)
    ]
    found = []
    for k in range(1, order):
        left = Counter(gram[1:] for gram in grams[k])
        opens = {gram: n for gram, n in grams[k - 1].items() if gram[0] == PAD and k > 1}
        found.append(left + Counter(opens))
    return [*found, grams[-1]]


def by_hand(
    counts: list[Counter[tuple[int, ...]]],
    held: list[NDArray[np.float64]],
    context: tuple[int, ...],
    symbol: int,
) -> float:
    """The formula of the module, by recursion."""
    p = 1 / V
    for k in range(1, min(len(context) + 1, len(counts)) + 1):
        before = context[len(context) - k + 1 :]
        row = {gram: n for gram, n in counts[k - 1].items() if gram[:-1] == before}
        total = sum(row.values())
        if total:
            taken = {gram: held[k - 1][min(n, 3)] for gram, n in row.items()}
            gram = (*before, symbol)
            seen = row.get(gram, 0) - taken.get(gram, 0.0)
            p = seen / total + sum(taken.values()) / total * p
    return p


@given(DOCUMENTS, ORDERS)
def test_at_a_document_the_prior_is_that_of_all_others(documents: list[Ids], order: int) -> None:
    line = np.concatenate([np.zeros(0, np.int32), *documents])
    rows = CrossFit(documents, V, order).rows(np.arange(len(line)))
    whole = told(documents, order)
    held = [discounts(np.array(list(level.values()), np.int64)) for level in whole]
    asked = []
    for at, document in enumerate(documents):
        others = told(documents[:at] + documents[at + 1 :], order)
        padded = (PAD, *document.tolist())
        for t in range(1, len(padded)):
            context = padded[max(0, t - order + 1) : t]
            asked.append([by_hand(others, held, context, w) for w in range(V)])
    np.testing.assert_allclose(np.exp(rows.dense()), np.reshape(asked, (-1, V)), rtol=2e-4)


@given(DOCUMENTS, DOCUMENTS, ORDERS)
def test_new_documents_are_read_as_the_plain_prior_reads_them(
    documents: list[Ids], others: list[Ids], order: int
) -> None:
    prior = Prior.fit(Counts.of(documents, order), V, order)
    rows = CrossFit(documents, V, order).fresh(others)
    line = np.concatenate([np.zeros(0, np.int32), *others])
    np.testing.assert_allclose(rows.log_probs(line), prior.log_probs(others), rtol=1e-4, atol=1e-5)


@given(DOCUMENTS, DOCUMENTS, ORDERS)
def test_every_row_is_a_law_and_one_symbol_of_it_is_its_entry(
    documents: list[Ids], others: list[Ids], order: int
) -> None:
    memory = CrossFit(documents, V, order)
    line = np.concatenate([np.zeros(0, np.int32), *documents])
    for rows, targets in (
        (memory.rows(np.arange(len(line))), line),
        (memory.fresh(others), np.concatenate([np.zeros(0, np.int32), *others])),
    ):
        table = rows.dense()
        np.testing.assert_allclose(np.exp(table.astype(np.float64)).sum(1), 1, atol=1e-5)
        np.testing.assert_allclose(rows.log_probs(targets), table[np.arange(len(rows)), targets])
    whole = np.concatenate([memory.log_probs(), memory.log_probs(others)])
    apart = memory.rows(np.arange(len(line))).log_probs(line), rows.log_probs(targets)
    np.testing.assert_array_equal(whole, np.concatenate(apart))


@given(DOCUMENTS, st.randoms())
def test_positions_are_asked_for_in_any_order(documents: list[Ids], random: object) -> None:
    memory = CrossFit(documents, V, 3)
    count = sum(map(len, documents))
    at = np.random.default_rng(0).permutation(count)[: count // 2]
    np.testing.assert_array_equal(
        memory.rows(at).dense(), memory.rows(np.arange(count)).dense()[at]
    )


def chain(random: np.random.Generator, law: NDArray[np.float64], length: int) -> Ids:
    found = [0]
    for _ in range(length):
        found.append(1 + int(random.choice(law.shape[1], p=law[found[-1]])))
    return np.array(found[1:], np.int32)


def test_without_cross_fitting_the_prior_has_seen_the_answer_and_with_it_it_has_not() -> None:
    random = np.random.default_rng(3)
    law = random.dirichlet(np.full(60, 0.05), 61)
    documents = [chain(random, law, 60) for _ in range(240)]
    seen, new = documents[:120], documents[120:]
    memory = CrossFit(seen, 61, 4)
    plain = Prior.fit(Counts.of(seen, 4), 61, 4)
    fitted = -memory.log_probs()
    held_out = -memory.log_probs(new)
    noise = 3 * np.hypot(
        *(part.reshape(120, -1).mean(1).std() / 120**0.5 for part in (fitted, held_out))
    )
    assert plain.cross_entropy(seen) < held_out.mean() - 0.3
    assert abs(fitted.mean() - held_out.mean()) < noise < 0.15


def test_impossible_memories_are_refused() -> None:
    with pytest.raises(InvalidInput, match="2 or more, not 1"):
        CrossFit([], V, 1)
    with pytest.raises(InvalidInput, match="beyond a vocabulary of 5"):
        CrossFit([np.array([5], np.int32)], 5, 2)

"""Embeddings from statistics: by the formulas, alike for what stands alike, and born silent."""

import numpy as np
import pytest
import torch

from rankspace.model import birth
from rankspace.ranks.counts import Counts
from tests.model.networks import born, inputs
from tests.worlds import message, space

TEXT = [np.array([5, 6, 7, 6, 5, 6, 8, 6, 5, 9], np.int32), np.array([5, 6, 8, 9], np.int32)]


def test_shifted_pmi_is_the_formula() -> None:
    size, together = 12, np.zeros((12, 12))
    for text in TEXT:
        for one, two in zip([0, *text[:-1].tolist()], text.tolist(), strict=True):
            together[one, two] += 1
            together[two, one] += 1
    margin = together.sum(0)
    for shift in (1.0, 2.0):
        found = birth.shifted_pmi(Counts.of(TEXT, 2), size, shift).toarray()
        for at in np.ndindex(size, size):
            chance = margin[at[0]] * margin[at[1]] / together.sum()
            told = max(0.0, np.log(together[at] / chance / shift)) if together[at] else 0.0
            assert found[at] == pytest.approx(told)


def test_all_columns_give_the_matrix_back() -> None:
    matrix = birth.shifted_pmi(Counts.of(TEXT, 2), 12).toarray()
    found = birth.embeddings(Counts.of(TEXT, 2), 12, 12)
    values, axes = np.linalg.eigh(matrix)  # U S U^T of a symmetric matrix is |M|
    np.testing.assert_allclose(found @ found.T, (axes * np.abs(values)) @ axes.T, atol=1e-6)


def test_large_and_small_vocabularies_are_decomposed_alike(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = birth.embeddings(space().counts, space().vocabulary.size, 8)
    monkeypatch.setattr(birth, "DENSE_MAX", 0)
    few = birth.embeddings(space().counts, space().vocabulary.size, 8)
    np.testing.assert_allclose(np.abs(few), np.abs(whole), atol=1e-3)


def test_whitened_rows_have_no_mean_and_are_even_where_they_are_met() -> None:
    random = np.random.default_rng(0)
    rows = random.standard_normal((50, 6)) @ random.standard_normal((6, 6)) + 3
    p = random.dirichlet(np.ones(50))
    found = birth.whitened(rows, p)
    np.testing.assert_allclose(p @ found, 0, atol=1e-9)
    np.testing.assert_allclose((found * p[:, None]).T @ found, np.eye(6), atol=1e-9)


def test_symbols_that_stand_in_the_same_places_start_alike() -> None:
    random = np.random.default_rng(0)
    words = np.array([7, *range(9, 30)], np.int32)
    texts = [random.choice(words, 40) for _ in range(40)]
    twins = [np.where(text == 7, 8, text).astype(np.int32) for text in texts]
    found = birth.embeddings(Counts.of(texts + twins, 2), 30, 6)
    unit = found / np.linalg.norm(found, axis=1, keepdims=True).clip(min=1e-9)
    likeness = unit[7] @ unit.T
    likeness[7] = -1
    assert likeness.argmax() == 8


def test_a_network_born_of_statistics_is_silent_and_differs_where_symbols_were_seen() -> None:
    plain, told = born(), born(birth="pmi")
    birth.from_statistics(plain, space())
    birth.from_statistics(told, space())
    assert torch.equal(plain.embed.weight, born().embed.weight)
    moved = (told.embed.weight != plain.embed.weight).any(1).numpy()
    seen = space().counts.frequencies(space().vocabulary.size) > 0
    assert np.array_equal(moved, seen)
    whole = inputs([space().read("text", "", message("text", 9, np.random.default_rng(0)))])
    assert not told.mix(told.states(whole)).any()
    length = told.embed.weight.detach()[torch.from_numpy(seen)].norm(dim=1) / (birth.STD * 4)
    assert float(length.max()) < birth.LONGEST + 1e-3
    assert 0.2 < float(length.median()) < 2


def test_without_counts_a_network_stays_as_it_was_drawn() -> None:
    assert birth.embeddings(Counts.empty(2), 12, 4).size == 0

"""Spectra describe the data as they are: curves fall, and knowing the past never costs more."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rankspace.ranks.counts import Counts
from rankspace.ranks.prior import Prior
from rankspace.ranks.spectra import (
    cross_entropies,
    curve,
    entropies,
    plug_in_entropy,
    spectra,
    spectrum,
)
from rankspace.ranks.vocabulary import END_OF_PART, Ids, Vocabulary

HOUSE = Vocabulary.of([("text", ""), ("image", "")], [("text", 30), ("image", 20)])
SAMPLES = st.lists(
    st.lists(st.integers(1, HOUSE.size - 1), max_size=25).map(lambda ids: np.array(ids, np.int32)),
    max_size=6,
)


@given(SAMPLES)
def test_knowing_more_of_the_past_never_costs_more_on_the_counts_themselves(
    samples: list[Ids],
) -> None:
    counts = Counts.of(samples, 2)
    assert plug_in_entropy(counts, 2) <= plug_in_entropy(counts, 1) + 1e-9


@given(st.lists(st.integers(0, 1_000), max_size=300), st.integers(2, 50))
def test_a_curve_falls_starts_at_the_first_rank_and_is_thin(counts: list[int], points: int) -> None:
    by_rank = np.sort(np.array(counts, np.int64))[::-1].copy()
    found = curve(by_rank, points)
    assert len(found.ranks) <= points
    assert (np.diff(found.frequencies) <= 0).all()
    assert (np.diff(found.ranks) > 0).all()
    if by_rank.any():
        assert found.ranks[0] == 1
        assert by_rank[found.ranks[-1] - 1] > 0
        assert (by_rank[found.ranks[-1] :] == 0).all()


@given(SAMPLES)
def test_every_symbol_is_in_one_spectrum(samples: list[Ids]) -> None:
    counts = Counts.of(samples)
    found = spectra(counts, HOUSE)
    assert [(one.name, one.size) for one in found] == [("image", 20), ("text", 30)]
    marks = sum(int((sample < 5).sum()) for sample in samples)
    assert sum(one.total for one in found) == counts.total - marks
    assert all(0 <= one.entropy <= math.log(max(one.used, 1)) + 1e-9 for one in found)


@given(SAMPLES)
def test_alphabets_share_out_the_cost_of_the_whole(samples: list[Ids]) -> None:
    prior = Prior.fit(Counts.of(samples), HOUSE.size)
    shares = cross_entropies(prior, samples, HOUSE)
    ids = np.concatenate([np.zeros(0, np.int32), *samples])
    often = {name: (HOUSE.groups[ids] == group).sum() for group, name in enumerate(HOUSE.names)}
    whole = sum(nats * often[name] for name, nats in shares.items())
    assert whole == pytest.approx(-float(prior.log_probs(samples).sum(dtype=np.float64)), rel=1e-4)


def test_a_source_of_pairs_is_cheap_once_one_symbol_is_known() -> None:
    random = np.random.default_rng(0)
    firsts = random.integers(5, 25, 600)
    samples = [np.array([first, first + 30, END_OF_PART], np.int32) for first in firsts]
    one, two, three = entropies(Counts.of(samples[:500]), samples[500:], 60)
    assert one.held_out > 2 > two.held_out
    assert two.plug_in == pytest.approx(math.log(20) / 3, abs=0.05)
    assert two.held_out == pytest.approx(math.log(20) / 3, abs=0.1)
    assert three.held_out == pytest.approx(two.held_out, abs=0.1)
    assert two.held_out_bits == pytest.approx(two.held_out / math.log(2))


def test_a_spectrum_carries_its_law_where_there_is_enough_to_fit() -> None:
    weights = (np.arange(1, 401) + 2.7) ** -1.1
    frequencies = np.random.default_rng(0).multinomial(100_000, weights / weights.sum())
    np.random.default_rng(1).shuffle(frequencies)
    zipf = spectrum("text", frequencies).zipf
    assert zipf is not None
    assert zipf.beta == pytest.approx(1.1, abs=4 * zipf.se_beta)
    assert spectrum("text", np.array([9, 9, 0, 0, 0], np.int64)).zipf is None
    assert spectrum("text", np.zeros(5, np.int64)).total == 0


def test_nothing_costs_nothing() -> None:
    empty = Counts.empty()
    assert plug_in_entropy(empty, 2) == 0
    assert cross_entropies(Prior.fit(empty, HOUSE.size), [], HOUSE) == {}

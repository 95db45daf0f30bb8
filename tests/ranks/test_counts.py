"""Counts are a commutative monoid, and agree with `collections.Counter`."""

from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from rankspace.errors import Corrupt, InvalidInput
from rankspace.ranks.counts import Counts, Grams, bits

Sequences = list[list[int]]
SEQUENCES = st.lists(st.lists(st.integers(1, 9), max_size=12), max_size=6)


def counted(sequences: Sequences, order: int = 3) -> Counts:
    return Counts.of([np.array(sequence, np.int32) for sequence in sequences], order)


def plain(grams: Grams, order: int, width: int) -> dict[tuple[int, ...], int]:
    """Keys unpacked, for people and for comparison."""
    shifts = [width * step for step in reversed(range(order))]
    return {
        tuple(int(key) >> shift & ((1 << width) - 1) for shift in shifts): int(count)
        for key, count in zip(grams.keys, grams.counts, strict=True)
    }


def spelt(counts: Counts) -> list[dict[tuple[int, ...], int]]:
    width = bits(counts.order)
    return [plain(grams, order, width) for order, grams in enumerate(counts.grams, start=1)]


def by_hand(sequences: Sequences, order: int) -> Counter[tuple[int, ...]]:
    padded = [sequence if order == 1 else [0, *sequence] for sequence in sequences]
    return Counter(
        tuple(one[start : start + order]) for one in padded for start in range(len(one) - order + 1)
    )


@given(SEQUENCES, SEQUENCES, SEQUENCES)
def test_merge_is_associative_commutative_and_has_a_unit(
    one: Sequences, two: Sequences, three: Sequences
) -> None:
    a, b, c = map(counted, (one, two, three))
    assert spelt(a.merge(b).merge(c)) == spelt(a.merge(b.merge(c)))
    assert spelt(a.merge(b)) == spelt(b.merge(a))
    assert spelt(a.merge(Counts.empty())) == spelt(a)


@given(SEQUENCES, SEQUENCES)
def test_counting_apart_and_merging_is_counting_together(one: Sequences, two: Sequences) -> None:
    assert spelt(counted(one).merge(counted(two))) == spelt(counted(one + two))


@given(SEQUENCES, st.integers(1, 5))
@example([[1]], 4)
def test_counts_are_those_of_a_counter(sequences: Sequences, order: int) -> None:
    counts = counted(sequences, order)
    assert spelt(counts) == [by_hand(sequences, k) for k in range(1, order + 1)]
    assert counts.total == sum(map(len, sequences))
    assert counts.frequencies(10).sum() == counts.total


@given(SEQUENCES)
def test_a_continuation_count_is_the_number_of_distinct_left_neighbours(
    sequences: Sequences,
) -> None:
    counts, width = counted(sequences), bits(3)
    pairs, triples = by_hand(sequences, 2), by_hand(sequences, 3)
    assert plain(counts.continuations(1), 1, width) == Counter(pair[1:] for pair in pairs)
    opening = Counter({pair: count for pair, count in pairs.items() if pair[0] == 0})
    inner = Counter(triple[1:] for triple in triples)
    assert plain(counts.continuations(2), 2, width) == inner + opening


def test_keys_ascend_and_the_largest_id_fits() -> None:
    top = (1 << bits(3)) - 1
    counts = counted([[top, 1, top, 2], [top, top]])
    assert all((np.diff(grams.keys) > 0).all() for grams in counts.grams)
    assert spelt(counts)[2][top, 1, top] == 1


@pytest.mark.parametrize("wrong", [-1, 1 << 21])
def test_ids_that_do_not_fit_are_refused(wrong: int) -> None:
    with pytest.raises(InvalidInput, match="ids must lie in 0 to 2097151"):
        counted([[wrong]])


def test_orders_must_agree_and_be_positive() -> None:
    with pytest.raises(InvalidInput, match="order 2 and 3"):
        Counts.empty(2).merge(Counts.empty(3))
    with pytest.raises(InvalidInput, match="at least 1"):
        Counts.empty(0)


def test_counts_survive_their_folder(tmp_path: Path) -> None:
    counts = counted([[1, 2, 3, 1, 2], [4]])
    counts.save(tmp_path)
    assert spelt(Counts.load(tmp_path)) == spelt(counts)


@pytest.mark.parametrize("content", [None, b"", b"not a table"])
def test_a_file_that_holds_no_counts_is_corrupt(tmp_path: Path, content: bytes | None) -> None:
    if content is not None:
        (tmp_path / "counts.safetensors").write_bytes(content)
    with pytest.raises(Corrupt):
        Counts.load(tmp_path)

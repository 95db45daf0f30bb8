"""The grid of surprise is monotone, complete, and finest where ranks are low."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from rankspace.ranks.coordinate import GridConfig, buckets, coordinate, edges

GRIDS = st.builds(GridConfig, buckets=st.integers(2, 64), rank_max=st.integers(63, 100_000))


@given(GRIDS)
def test_buckets_rise_with_ranks_and_each_is_used(grid: GridConfig) -> None:
    found = buckets(np.arange(grid.rank_max + 2, dtype=np.int32), grid)
    assert (np.diff(found) >= 0).all()
    assert np.array_equal(np.unique(found), np.arange(grid.buckets))


@given(GRIDS)
def test_a_bucket_begins_at_its_edge(grid: GridConfig) -> None:
    starts = edges(grid)
    assert starts[0] == 0
    assert starts[-1] == grid.rank_max
    assert np.array_equal(buckets(starts, grid), np.arange(grid.buckets))
    assert np.array_equal(buckets(starts[1:] - 1, grid), np.arange(grid.buckets - 1))


@given(GRIDS)
def test_buckets_never_get_narrower(grid: GridConfig) -> None:
    assert (np.diff(edges(grid), 2) >= -1).all()  # -1: edges are rounded to whole ranks


def test_the_lowest_ranks_have_a_bucket_each() -> None:
    assert buckets(np.arange(4, dtype=np.int32)).tolist() == [0, 1, 2, 3]


def test_the_coordinate_of_the_expected_is_zero() -> None:
    ranks = np.array([0, 1, 99], np.int32)
    np.testing.assert_allclose(coordinate(ranks), np.log([1, 2, 100]), rtol=1e-6)

"""One coordinate of surprise for all modalities: u = ln(1 + rank), on a fixed grid of buckets.

Equal steps of u are equal ratios of rank, which is the scale on which rank–frequency curves are
straight. The grid is fixed rather than fitted, so that a bucket means the same in text, sound and
image, and in every model. The lowest ranks, where one step of u is less than one rank, get a bucket
each; the last bucket takes everything beyond `rank_max`.

Shapes: ranks and buckets are int32 of any one shape.
Law: buckets never fall as ranks rise, and every bucket is used.
"""

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from rankspace.config import Config


class GridConfig(Config):
    """How finely ranks are told apart."""

    buckets: int = Field(default=32, ge=2, le=1024)
    """How many rows the shared table of ranks has."""

    rank_max: int = Field(default=65_535, ge=1)
    """Where the last bucket begins; it must leave at least one rank to each bucket."""


GRID = GridConfig()


def coordinate(ranks: NDArray[np.int32]) -> NDArray[np.float32]:
    """The surprise u of each rank: 0 for what was expected most."""
    return np.log1p(ranks).astype(np.float32)


def edges(grid: GridConfig = GRID) -> NDArray[np.int32]:
    """[buckets]: the lowest rank of each bucket, ascending from 0 to `rank_max`."""
    steps = np.linspace(0.0, np.log1p(grid.rank_max), grid.buckets)
    found = np.rint(np.expm1(steps)).astype(np.int64)
    # Where steps of u are finer than ranks: e_b = max(e_b, e_{b-1} + 1), for all b at once.
    index = np.arange(grid.buckets)
    return (np.maximum.accumulate(found - index) + index).astype(np.int32)


def buckets(ranks: NDArray[np.int32], grid: GridConfig = GRID) -> NDArray[np.int32]:
    """The bucket of each rank."""
    return (np.searchsorted(edges(grid), ranks, side="right") - 1).astype(np.int32)

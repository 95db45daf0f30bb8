"""Symbols to ranks and back: rank 0 is the most expected symbol after the one before it.

Sorting each row of the memory's table of pairs, most expected first and ties by symbol, gives
one permutation of the vocabulary per context. A sample is read through them:

    rank[t] = position of id[t] in the row of id[t - 1]                 (row PAD at t = 0)

so a predictable sample turns into small numbers, whatever its modality was. A context that was
never seen has the order of the floor, which all contexts share. Every row is a permutation, hence
nothing is lost: `symbols(ranks(x)) == x` for every x, seen or not.

Shapes: both tables are [V, V], int16 while they fit; samples are int32 [N].
Source: recency ranks as in Ryabko, "Data compression by means of a book stack", 1980, but by
expectation; ranks as coordinates after Zipf, 1949 (both recalled, not re-read).
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from rankspace.errors import InvalidInput
from rankspace.ranks.prior import ROWS, Prior
from rankspace.ranks.vocabulary import PAD, Ids

Table = NDArray[np.int16] | NDArray[np.int32]


@dataclass(frozen=True, eq=False)
class Order:
    """One permutation of the vocabulary per symbol before, and its inverse."""

    rank_table: Table  # [V, V]: the rank of an id (column) after an id (row)

    @cached_property
    def symbol_table(self) -> Table:
        """[V, V]: the id at a rank (column) after an id (row); made when first asked for."""
        symbols = np.empty_like(self.rank_table)
        ids = np.arange(self.size, dtype=symbols.dtype)
        for row, ranks in zip(symbols, self.rank_table, strict=True):
            row[ranks] = ids
        return symbols

    @classmethod
    def of(cls, prior: Prior) -> "Order":
        """The order of expectation of a prior of order 2."""
        size = prior.size
        kind = np.int16 if size <= np.iinfo(np.int16).max else np.int32
        ranks = np.empty((size, size), kind)
        expected = prior.bigrams()
        for start in range(0, size, ROWS):
            rows = slice(start, start + ROWS)
            symbols = _descending(expected[rows]).astype(np.int64)
            np.put_along_axis(ranks[rows], symbols, np.arange(size, dtype=kind), axis=1)
        return cls(ranks)

    @property
    def size(self) -> int:
        """V."""
        return len(self.rank_table)

    def ranks(self, ids: Ids) -> Ids:
        """[N]: how unexpected each symbol of a sample is."""
        self._check(ids)
        return self.rank_table[before(ids), ids].astype(np.int32)

    def symbols(self, ranks: Ids) -> Ids:
        """[N]: the sample that has these ranks."""
        self._check(ranks)
        # One at a time: what a rank means depends on the symbol it follows.
        found, last = [], PAD
        for rank in ranks.tolist():
            last = int(self.symbol_table[last, rank])
            found.append(last)
        return np.array(found, np.int32)

    def _check(self, values: Ids) -> None:
        if values.size and not 0 <= values.min() <= values.max() < self.size:
            raise InvalidInput(f"ids and ranks must lie in 0 to {self.size - 1}", "ids")


def before(ids: Ids) -> Ids:
    """[N]: the symbol before each of a sample; PAD before the first."""
    return np.concatenate([np.array([PAD], np.int32), ids])[:-1]


def _descending(p: NDArray[np.float32]) -> NDArray[np.int64]:
    """[R, V]: columns by falling value, ties by column.

    Positive floats sort as their bits do, so value and column fit one integer key: one plain sort,
    the same on every machine.
    """
    flipped = ~p.view(np.uint32)
    columns = np.arange(p.shape[1], dtype=np.uint64)
    keys = flipped.astype(np.uint64) << np.uint64(32) | columns
    keys.sort(axis=1)
    return (keys & np.uint64(0xFFFFFFFF)).astype(np.int64)

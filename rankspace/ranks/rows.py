"""Rows of a prior, sparse: what a memory of any order says at N positions, as tensors can use it.

    ln p(w | n) = log_mass[n] + log_base[group[n], w] + gain        gain = 0 where no entry stands

An entry is a symbol that was seen after the position's context at some order; all others share
the mass that was left over, spread like the base. So a row costs what was seen there and not V,
and no table [V, V] is made. Inside a softmax log_mass drops out: base and gains are enough.

Shapes: N positions, M entries, D groups (documents whose base differs), V symbols.
Laws: entries are distinct and ascend by position; every row sums to 1.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rankspace.ranks.vocabulary import Ids

Floats = NDArray[np.float32]
Indices = NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False)
class Rows:
    """The law of the next symbol at N positions."""

    log_base: Floats  # [D, V]
    group: Indices  # [N]
    log_mass: Floats  # [N]
    owner: Indices  # [M]: position
    symbols: Indices  # [M]
    gains: Floats  # [M]

    def __len__(self) -> int:
        return len(self.group)

    def log_probs(self, targets: Ids) -> Floats:
        """[N]: ln p of one symbol a position."""
        found = self.log_mass + self.log_base[self.group, targets]
        hit = np.flatnonzero(self.symbols == targets[self.owner])
        found[self.owner[hit]] += self.gains[hit]
        return found

    def dense(self) -> Floats:
        """[N, V]: ln p of every symbol."""
        table = self.log_mass[:, None] + self.log_base[self.group]
        table[self.owner, self.symbols] += self.gains
        return np.asarray(table, np.float32)


def spans(starts: Indices, lengths: Indices) -> tuple[Indices, Indices]:
    """For ranges [start, start + length): whose each element is, and the elements."""
    owner = np.repeat(np.arange(len(starts)), lengths)
    before = np.cumsum(lengths) - lengths
    return owner, np.arange(len(owner)) + np.repeat(starts - before, lengths)

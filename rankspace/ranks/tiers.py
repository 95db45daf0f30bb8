"""One order of a back-off with its raw counts, and what single documents put into it.

What `prior.Level` holds is ready for use; here counts and discounts stay apart, so that the share
of one document can be taken out of a context again: from the count of a gram, from the total of
its context and from what was discounted there.

Shapes: G grams, C contexts, Q pairs of a document and a context, O their grams.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rankspace.ranks.counts import Grams, Keys
from rankspace.ranks.prior import Reals, discounts
from rankspace.ranks.rows import Indices


@dataclass(frozen=True, slots=True, eq=False)
class Tier:
    """One order of the back-off, with its raw counts."""

    keys: Keys  # [G], ascending: context and symbol
    counts: NDArray[np.int64]  # [G]
    discounts: Reals  # [4]
    kept: Reals  # [G]: counts less discounts
    contexts: Keys  # [C], ascending
    starts: Indices  # [C + 1]: the grams of each context
    total: Reals  # [C]
    held: Reals  # [C]: what was discounted

    @classmethod
    def of(cls, grams: Grams, width: int) -> "Tier":
        contexts, first = np.unique(grams.keys >> np.uint64(width), return_index=True)
        starts = np.append(first, len(grams.keys)).astype(np.int64)
        taken = discounts(grams.counts)
        off = taken[np.minimum(grams.counts, 3)]
        owner = np.repeat(np.arange(len(contexts)), np.diff(starts))
        total = _sums(owner, grams.counts, len(contexts))
        held = _sums(owner, off, len(contexts))
        return cls(
            grams.keys, grams.counts, taken, grams.counts - off, contexts, starts, total, held
        )

    def context_of(self, gram: Indices) -> Indices:
        """Index of the context of each gram."""
        return np.searchsorted(self.starts, gram, side="right") - 1


@dataclass(frozen=True, slots=True, eq=False)
class Own:
    """What single documents put into a tier, by group: a document and a context."""

    groups: Indices  # [Q]: document * C + context, ascending
    starts: Indices  # [Q + 1]
    grams: Indices  # [O]
    change: Reals  # [O]: what taking the document out does to `kept`
    total: Reals  # [Q]: what it takes from the context's total
    held: Reals  # [Q]: what it adds to the context's discounts

    @classmethod
    def of(cls, tier: Tier, document: Indices, gram: Indices, count: Indices) -> "Own":
        contexts = max(1, len(tier.contexts))
        group = document * contexts + tier.context_of(gram)
        order = np.lexsort((gram, group))
        group, gram, count = group[order], gram[order], count[order]
        left = tier.counts[gram] - count
        off = tier.discounts[np.minimum(left, 3)]
        change = (left - off) - tier.kept[gram]
        groups, first = np.unique(group, return_index=True)
        starts = np.append(first, len(group)).astype(np.int64)
        owner = np.repeat(np.arange(len(groups)), np.diff(starts))
        was = tier.discounts[np.minimum(tier.counts[gram], 3)]
        return cls(
            groups, starts, gram, change,
            _sums(owner, count, len(groups)),
            _sums(owner, off - was, len(groups)),
        )  # fmt: skip

    def find(self, tier: Tier, document: Indices, context: Indices) -> Indices:
        """The group of each (document, context); -1 where there is none."""
        group = document * max(1, len(tier.contexts)) + context
        found = locate(self.groups, group)
        return np.where(context >= 0, found, -1)


def locate(keys: Keys | Indices, asked: Keys | Indices) -> Indices:
    """Index of each in ascending keys; -1 for what is not there."""
    if not len(keys):
        return np.full(len(asked), -1)
    place = np.minimum(np.searchsorted(keys, asked), len(keys) - 1)
    return np.where(keys[place] == asked, place, -1)


def _sums(owner: Indices, weights: Reals | Indices, size: int) -> Reals:
    """[size]: the sum of the weights of each owner."""
    return np.bincount(owner, weights, size).astype(np.float64)

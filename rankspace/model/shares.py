"""Several laws as one, the share of each fitted on texts that none has learnt from.

    p = sum_k l_k p_k,   l by group, by EM on held-out texts

A network that reads its texts again knows them too well to say there how far it is to be trusted,
and so does a memory that was counted on them. A position's group says how little is known there:
the mass that the memory leaves to its base and the entropy of the network, each in six steps of as
many held-out positions, and how often the document went on from the same symbol: never, once,
oftener.

Shapes: N positions, A symbols of one alphabet, K laws, G groups.
Source: deleted interpolation, Jelinek & Mercer 1980 (recalled, not re-read).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

STEPS = 6
"""Of how little the memory and the network know."""

SEEN = 3
"""Of how often the document went on from the same symbol."""

ROUNDS = 40
"""Of EM."""

PRIOR = 8.0
"""Positions that a group is taken to have had at the shares of all: few say little."""

FAINT = 1e-12
"""Least share of a law in a mixture."""


@dataclass(frozen=True, slots=True, eq=False)
class Known:
    """What is known at some positions before the next symbol comes."""

    left: Float[Tensor, "n"]
    """ln of the mass that the memory leaves to its base."""

    unsure: Float[Tensor, "n"]
    """The entropy of the network, nats."""

    seen: Float[Tensor, "n"]
    """How often the document went on from the same symbol."""


def gathered(
    parts: Sequence[tuple[Known, Float[Tensor, "_ k"]]],
) -> tuple[Known, Float[Tensor, "n k"]]:
    """Positions of many batches in one."""
    each = [(known.left, known.unsure, known.seen, told) for known, told in parts]
    left, unsure, seen, told = map(torch.cat, zip(*each, strict=True))
    return Known(left, unsure, seen), told


class Shares(nn.Module):
    """The shares of some laws, by group. Saved with the weights; no gradient moves them."""

    edges: Tensor
    table: Tensor

    def __init__(self, laws: int) -> None:
        super().__init__()
        self.register_buffer("edges", torch.zeros(2, STEPS - 1))
        self.register_buffer("table", torch.full((STEPS * STEPS * SEEN, laws), 1.0 / laws))

    def forward(self, known: Known) -> Float[Tensor, "n k"]:
        """The shares at these positions."""
        return self.table[self._group(known)]

    def fit(self, known: Known, told: Float[Tensor, "n k"]) -> None:
        """Fit groups and shares to held-out positions; `told` is ln p of what came, law by law."""
        if not len(told):
            return
        at = torch.arange(1, STEPS) / STEPS
        edges = [_quantiles(each, at) for each in (known.left, known.unsure)]
        self.edges.copy_(torch.stack(edges))
        self.table.copy_(fitted(self._group(known), told.exp(), len(self.table)))

    def _group(self, known: Known) -> Int[Tensor, "n"]:
        left = torch.bucketize(known.left, self.edges[0])
        unsure = torch.bucketize(known.unsure, self.edges[1])
        return (left * STEPS + unsure) * SEEN + known.seen.clamp(max=SEEN - 1).long()


def mixture(
    shares: Float[Tensor, "n k"], laws: Sequence[Float[Tensor, "n *a"]]
) -> Float[Tensor, "n *a"]:
    """The ln of the mixture of laws that are given as ln p."""
    weights = shares.clamp(min=FAINT).log()
    if laws[0].ndim == 2:
        weights = weights[:, :, None]
    found = laws[0] + weights[:, 0]
    for at, law in enumerate(laws[1:], start=1):
        found = torch.logaddexp(found, law + weights[:, at])
    return found


def fitted(
    group: Int[Tensor, "n"], told: Float[Tensor, "n k"], groups: int
) -> Float[Tensor, "g k"]:
    """The shares in each group that make what came most likely, by EM; `told` is its p by law.

    A group of few positions leans on the shares of all together.
    """
    even = torch.full((1, told.shape[1]), 1.0 / told.shape[1])
    whole = _em(torch.zeros_like(group), told, even, 0.0)
    return _em(group, told, whole.expand(groups, -1), PRIOR)


def _em(
    group: Int[Tensor, "n"], told: Float[Tensor, "n k"], start: Float[Tensor, "g k"], prior: float
) -> Float[Tensor, "g k"]:
    found, count = start, torch.bincount(group, minlength=len(start))[:, None]
    for _ in range(ROUNDS):
        owed = found[group] * told
        owed = owed / owed.sum(1, keepdim=True).clamp(min=FAINT)
        found = torch.zeros_like(start).index_add_(0, group, owed) + prior * start
        found = found / (count + prior).clamp(min=1)
    return found


def _quantiles(values: Float[Tensor, "n"], at: Float[Tensor, "k"]) -> Float[Tensor, "k"]:
    """Quantiles of any number of values: torch's own refuses more than 16 million."""
    ordered = values.sort().values
    return ordered[(at * (len(ordered) - 1)).round().long()]

"""Two laws as one, the share of each fitted on texts that neither has learnt from.

    p = l p0(.|c) + (1 - l) p_network,   l by group, by EM on held-out texts

A network that reads its texts again knows them too well to say there how far it is to be trusted,
and so does a memory that was counted on them. A position's group says how little each of the two
knows: the mass that the memory leaves to its base, and the entropy of the network, each in eight
steps of as many held-out positions.

Shapes: N positions, A symbols of one alphabet.
Source: deleted interpolation, Jelinek & Mercer 1980 (recalled, not re-read).
"""

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

STEPS = 8
"""Of how little each of the two knows."""

ROUNDS = 30
"""Of EM."""

PRIOR = 8.0
"""Positions that a group is taken to have had at the share of all: few say little."""

FAINT = 1e-12
"""Least share of either law in a mixture."""


class Shares(nn.Module):
    """The shares of a memory, by group. Saved with the weights; no gradient moves them."""

    edges: Tensor
    table: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("edges", torch.zeros(2, STEPS - 1))
        self.register_buffer("table", torch.full((STEPS * STEPS,), 0.5))

    def forward(self, left: Float[Tensor, "n"], unsure: Float[Tensor, "n"]) -> Float[Tensor, "n"]:
        """The share of the memory: `left` is ln of the mass it leaves, `unsure` the entropy."""
        return self.table[self._group(left, unsure)]

    def fit(
        self,
        left: Float[Tensor, "n"],
        unsure: Float[Tensor, "n"],
        memory: Float[Tensor, "n"],
        own: Float[Tensor, "n"],
    ) -> None:
        """Fit groups and shares to held-out positions; both laws as ln p of what came."""
        if not len(left):
            return
        at = torch.arange(1, STEPS) / STEPS
        self.edges.copy_(torch.stack([_quantiles(each, at) for each in (left, unsure)]))
        self.table.copy_(fitted(self._group(left, unsure), memory.exp(), own.exp(), STEPS * STEPS))

    def _group(self, left: Float[Tensor, "n"], unsure: Float[Tensor, "n"]) -> Int[Tensor, "n"]:
        rows = torch.bucketize(left, self.edges[0])
        return rows * STEPS + torch.bucketize(unsure, self.edges[1])


def mixture(
    share: Float[Tensor, "n *one"], memory: Float[Tensor, "n *a"], own: Float[Tensor, "n *a"]
) -> Float[Tensor, "n *a"]:
    """The ln of the mixture of two laws that are given as ln p."""
    told = memory + share.clamp(min=FAINT).log()
    return torch.logaddexp(told, own + (1.0 - share).clamp(min=FAINT).log())


def fitted(
    group: Int[Tensor, "n"], memory: Float[Tensor, "n"], own: Float[Tensor, "n"], groups: int
) -> Float[Tensor, "s"]:
    """The share of the memory in each group that makes what came most likely, by EM.

    A group of few positions leans on the share of all together.
    """
    whole = _em(torch.zeros_like(group), memory, own, torch.full((1,), 0.5), 0.0)
    return _em(group, memory, own, whole.expand(groups), PRIOR)


def _em(
    group: Int[Tensor, "n"],
    memory: Float[Tensor, "n"],
    own: Float[Tensor, "n"],
    start: Float[Tensor, "s"],
    prior: float,
) -> Float[Tensor, "s"]:
    found, size = start, len(start)
    count = torch.bincount(group, minlength=size)
    for _ in range(ROUNDS):
        told = found[group] * memory
        owed = told / (told + (1 - found[group]) * own).clamp(min=FAINT)
        found = (torch.bincount(group, owed, size) + prior * start) / (count + prior).clamp(min=1)
    return found


def _quantiles(values: Float[Tensor, "n"], at: Float[Tensor, "k"]) -> Float[Tensor, "k"]:
    """Quantiles of any number of values: torch's own refuses more than 16 million."""
    ordered = values.sort().values
    return ordered[(at * (len(ordered) - 1)).round().long()]

"""Two laws as one: p = l p0 + (1 - l) p1, the share l by group, fitted on held-out texts.

Shapes: N positions, S groups, A symbols.
Source: deleted interpolation, Jelinek & Mercer 1980 (recalled, not re-read).
"""

import torch
from jaxtyping import Float, Int
from torch import Tensor

SHARES = 8
"""Groups of positions that have a share of the memory of their own."""

ROUNDS = 30
"""Of EM."""


def mixture(
    share: Float[Tensor, "n *one"], memory: Float[Tensor, "n *a"], own: Float[Tensor, "n *a"]
) -> Float[Tensor, "n *a"]:
    """The ln of the mixture of two laws that are given as ln p."""
    return torch.logaddexp(memory + share.log(), own + (1 - share).log())


def shares(
    group: Int[Tensor, "n"], memory: Float[Tensor, "n"], own: Float[Tensor, "n"]
) -> Float[Tensor, "s"]:
    """The share of the memory in each group that makes the odds of what came largest, by EM."""
    found = torch.full((SHARES,), 0.5)
    count = torch.bincount(group, minlength=SHARES)
    for _ in range(ROUNDS):
        told = found[group] * memory
        owed = told / (told + (1 - found[group]) * own)
        found = (torch.bincount(group, owed, SHARES) + 1) / (count + 2)
    return found

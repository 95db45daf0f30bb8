"""How much room representations take: coding rate, numerical and effective rank, mean cosine.

    R(Z)           = 1/2 logdet( I + D/(N eps^2) Z^T Z )      nats to code Z up to eps
    R^c(Z | U)     = sum_k R(Z U_k) over the dictionaries U_k of heads
    rank_gamma(A)  = #{ i : sigma_i > gamma sigma_1 };        deficit = 1 - rank / min(N, D)
    erank(A)       = exp( H( sigma / sum sigma ) )
    cosine(A)      = mean over pairs of rows of <a_i, a_j> / (|a_i| |a_j|)

Ranks are of centred rows: a common part that grows would make any rank look smaller.

Shapes: N rows, D columns, K heads of width P.
Source: coding rate: Yu et al., "MCR^2", 2020 (recalled), as in CRATE, arXiv 2306.01129; effective
rank: Roy & Vetterli, 2007 (recalled); papers.md 1.2, 6 and 8.
"""

import torch
from jaxtyping import Float
from torch import Tensor

EPSILON = 0.5
"""What is told apart, where rows are of length 1."""


def coding_rate(z: Float[Tensor, "n d"], epsilon: float = EPSILON) -> Float[Tensor, ""]:
    """R of rows, in nats; differentiable."""
    count, width = z.shape
    gram = torch.eye(width, dtype=z.dtype) + (width / (count * epsilon**2)) * (z.T @ z)
    return 0.5 * torch.linalg.slogdet(gram).logabsdet


def compressed_rate(
    z: Float[Tensor, "n d"], heads: Float[Tensor, "k p d"], epsilon: float = EPSILON
) -> Float[Tensor, ""]:
    """R^c of rows under the dictionaries of heads, in nats; differentiable."""
    parts = [coding_rate(z @ head.T, epsilon) for head in heads]
    return torch.stack(parts).sum()


def singular(rows: Float[Tensor, "n d"]) -> Float[Tensor, "m"]:
    """Singular values of centred rows, the largest first, from the smaller Gram matrix."""
    a = rows.double() - rows.double().mean(0)
    gram = a.T @ a if a.shape[0] >= a.shape[1] else a @ a.T
    return torch.linalg.eigvalsh(gram).clamp(min=0).sqrt().flip(0)


def effective_rank(sigma: Float[Tensor, "m"]) -> float:
    """How many directions are used, by the entropy of singular values; 0 if none is."""
    if not float(sigma.sum()):
        return 0.0
    p = sigma / sigma.sum()
    return float(torch.special.entr(p).sum().exp())


def deficit(sigma: Float[Tensor, "m"], gamma: float) -> float:
    """Share of directions whose singular value is at most gamma times the largest."""
    return float((sigma <= gamma * sigma[0]).double().mean())


def cosine(rows: Float[Tensor, "n d"]) -> float:
    """The mean cosine of two different rows."""
    unit = torch.nn.functional.normalize(rows.double(), dim=-1)
    count = len(unit)
    return float((unit.sum(0).square().sum() - unit.square().sum()) / max(1, count * (count - 1)))

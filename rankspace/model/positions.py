"""Rotary positions: pairs of a head's coordinates turn with time, each at its own speed.

    speed_i = base^(-2i/R),   i = 0 .. R/2 - 1;     (a, b) -> (a cos - b sin, a sin + b cos)

so the product of a query and a key depends on their distance only. The first R = K/2 coordinates
turn; the others carry what does not depend on distance, at half the cost. R = K turns them all.

Heads may turn at speeds of two bases, those of signal and those of noise: with 10^4 pi and 10^4/pi
the ratio of their speeds is pi^(4i/R), which is irrational for i > 0 and 1 for i = 0. That such a
ratio keeps heads from resonance is a conjecture of its author; near-resonances are not fewer than
with a plain ratio of 10 (papers.md 1.3).

Shapes: B batch, H heads, G = H or 1 for all of them, T time, K head width, R/2 pairs.
Source: Su et al., "RoFormer", 2021 (recalled); two bases: Huang, arXiv 2601.15540 (second hand).
"""

import torch
from jaxtyping import Float, Int
from torch import Tensor

BASE = 10_000.0


def table(
    times: Int[Tensor, "b t"], turning: int, bases: tuple[float, ...] = (BASE,)
) -> Float[Tensor, "2 b g t pairs"]:
    """Cosines and sines of every symbol's time, for R = `turning` coordinates.

    One base serves all heads; else there is one a head.
    """
    exponent = -torch.arange(0, turning, 2, dtype=torch.float32) / turning
    speed = torch.stack([base**exponent for base in bases])[:, None]  # [G, 1, R/2]
    angle = times[:, None, :, None] * speed
    return torch.stack((angle.cos(), angle.sin()))


def rotate(
    x: Float[Tensor, "b h t k"], turns: Float[Tensor, "2 b g t pairs"]
) -> Float[Tensor, "b h t k"]:
    """Turn queries or keys to their times; the coordinates i and i + R/2 form a pair."""
    cos, sin = turns.to(x.dtype)
    pairs = cos.shape[-1]
    a, b, rest = x.split((pairs, pairs, x.shape[-1] - 2 * pairs), dim=-1)
    return torch.cat((a * cos - b * sin, a * sin + b * cos, rest), dim=-1)

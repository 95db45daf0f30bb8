"""Rotary positions: pairs of a head's coordinates turn with time, each at its own speed.

    speed_i = base^(-2i/R),   i = 0 .. R/2 - 1;     (a, b) -> (a cos - b sin, a sin + b cos)

so the product of a query and a key depends on their distance only. The first R = K/2 coordinates
turn; the others carry what does not depend on distance, at half the cost.

Shapes: B batch, H heads, T time, K head width.
Source: Su et al., "RoFormer", 2021 (recalled).
"""

import torch
from jaxtyping import Float, Int
from torch import Tensor

BASE = 10_000.0


def table(times: Int[Tensor, "b t"], head_width: int) -> Float[Tensor, "2 b 1 t quarter"]:
    """Cosines and sines of every symbol's time."""
    turning = head_width // 2
    speed = BASE ** (-torch.arange(0, turning, 2, dtype=torch.float32) / turning)
    angle = times[:, None, :, None] * speed  # [B, 1, T, K/4]
    return torch.stack((angle.cos(), angle.sin()))


def rotate(
    x: Float[Tensor, "b h t k"], turns: Float[Tensor, "2 b 1 t quarter"]
) -> Float[Tensor, "b h t k"]:
    """Turn queries or keys to their times; the coordinates i and i + K/4 form a pair."""
    cos, sin = turns.to(x.dtype)
    a, b, rest = x.split((cos.shape[-1], cos.shape[-1], x.shape[-1] // 2), dim=-1)
    return torch.cat((a * cos - b * sin, a * sin + b * cos, rest), dim=-1)

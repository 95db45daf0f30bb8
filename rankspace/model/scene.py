"""What all blocks of one pass share: who sees whom, when each symbol came, what stood at the start.

Shapes: B batch, T new symbols, S all symbols seen, D width, G heads that turn apart (1 for all).
"""

import math
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from rankspace.model.config import NetworkConfig
from rankspace.model.positions import table


@dataclass(slots=True, eq=False)
class Scene:
    """One pass over the blocks."""

    turns: Float[Tensor, "2 b g t pairs"] | None = None
    """Rotary positions; None where positions are learned."""

    length: Float[Tensor, "b 1 t 1"] | None = None
    """ln n / ln C of every position, n the symbols it sees; None where heads do not mind."""

    mask: Bool[Tensor, "b 1 t s"] | None = None
    """Who sees whom; None for all that came before."""

    first: Float[Tensor, "b t d"] | None = None
    """x_0."""

    values: Float[Tensor, "b h t k"] | None = None
    """Values of the first block, once it has run."""


def scene(
    config: NetworkConfig, times: Int[Tensor, "b t"], mask: Bool[Tensor, "b 1 t s"] | None
) -> Scene:
    """The scene of symbols at these times."""
    found = Scene(mask=mask)
    if config.rotary:
        turning = config.head_width // (1 if config.rotary_whole else 2)
        found.turns = table(times, turning, bases(config))
    if config.length_term:
        seen = (times + 1).float().log() / math.log(max(2, config.context))
        found.length = seen[:, None, :, None]
    return found


def bases(config: NetworkConfig) -> tuple[float, ...]:
    """The rotary base of every head, or one for all."""
    if len(config.rotary_bases) == 1:
        return config.rotary_bases
    signal, noise = config.rotary_bases
    return (signal,) * (config.heads - config.noise_heads) + (noise,) * config.noise_heads


def visible(mask: Bool[Tensor, "b 1 t s"] | None, new: int, seen: int) -> Bool[Tensor, "#b 1 t s"]:
    """The mask written out."""
    if mask is not None:
        return mask
    return torch.ones(1, 1, new, seen, dtype=torch.bool).tril(seen - new)

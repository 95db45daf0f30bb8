"""What a live stream remembers: the keys and values of every symbol it has seen.

Shapes: B batch, H heads, T new symbols, S symbols held, K head width.
"""

import torch
from jaxtyping import Float
from torch import Tensor

from rankspace.errors import LimitExceeded


class LayerCache:
    """Keys and values of one block, in one allocation made at the start."""

    def __init__(self, shape: tuple[int, int, int, int], dtype: torch.dtype) -> None:
        self.keys = torch.zeros(shape, dtype=dtype)
        self.values = torch.zeros(shape, dtype=dtype)
        self.length = 0

    def extend(
        self, keys: Float[Tensor, "b h t k"], values: Float[Tensor, "b h t k"]
    ) -> tuple[Float[Tensor, "b h s k"], Float[Tensor, "b h s k"]]:
        """Append and return all that is held."""
        end = self.length + keys.shape[2]
        self.keys[:, :, self.length : end] = keys
        self.values[:, :, self.length : end] = values
        self.length = end
        return self.keys[:, :, :end], self.values[:, :, :end]


class Cache:
    """One stream's memory over all blocks."""

    def __init__(self, depth: int, shape: tuple[int, int, int, int], dtype: torch.dtype) -> None:
        self.capacity = shape[2]
        self.layers = [LayerCache(shape, dtype) for _ in range(depth)]

    @property
    def length(self) -> int:
        """Symbols held."""
        return self.layers[0].length

    def reserve(self, symbols: int) -> None:
        """Raise LimitExceeded unless so many more symbols fit."""
        if self.length + symbols > self.capacity:
            raise LimitExceeded(
                f"the session would hold {self.length + symbols} symbols and may hold"
                f" {self.capacity}; open a new session or send less"
            )

"""A block: look back, then think.

    x <- a x + b x_0                      first_residual; a = 1 and b = 0 at birth
    x <- x + Attention(norm x)
    x <- x + FeedForward(norm x)

Shapes: B batch, T time, D width.
Source: x_0 in every block is modded-nanogpt's (papers.md 12.3); RMSNorm: Zhang & Sennrich, 2019
(recalled).
"""

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from rankspace.model.attention import Attention
from rankspace.model.cache import LayerCache
from rankspace.model.config import NetworkConfig
from rankspace.model.experts import Experts
from rankspace.model.feedforward import FeedForward
from rankspace.model.scene import Scene
from rankspace.model.sparse import Sparse


class Block(nn.Module):
    """Look back, then think."""

    def __init__(self, config: NetworkConfig) -> None:
        super().__init__()
        self.norm1, self.norm2 = normed(config), normed(config)
        self.attention = Attention(config)
        self.feedforward = _thinking(config)
        self.dropout = config.dropout
        self.blend = nn.Parameter(torch.tensor([1.0, 0.0])) if config.first_residual else None

    def forward(
        self, x: Float[Tensor, "b t d"], scene: Scene, held: LayerCache | None = None
    ) -> Float[Tensor, "b t d"]:
        x = self.enter(x, scene)
        x = x + self._drop(self.attention(self.norm1(x), scene, held))
        return x + self._drop(self.feedforward(self.norm2(x)))

    def enter(self, x: Float[Tensor, "b t d"], scene: Scene) -> Float[Tensor, "b t d"]:
        """What the block begins with."""
        if self.blend is None or scene.first is None:
            return x
        one, two = self.blend.to(x.dtype).unbind()
        return one * x + two * scene.first

    def _drop(self, x: Float[Tensor, "b t d"]) -> Float[Tensor, "b t d"]:
        return F.dropout(x, self.dropout, self.training) if self.dropout else x


def normed(config: NetworkConfig) -> nn.LayerNorm | nn.RMSNorm:
    """The norm of the stream."""
    if config.norm == "rms":
        return nn.RMSNorm(config.width, eps=1e-5)
    return nn.LayerNorm(config.width, bias=False)


def _thinking(config: NetworkConfig) -> nn.Module:
    if config.experts:
        return Experts(config)
    return FeedForward(config) if config.think == "dense" else Sparse(config)

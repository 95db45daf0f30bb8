"""The feed-forward layer: a Swish-beta gate, beta per hidden channel.

    y = W2 ( g * sigmoid(beta * g) * v ),   g = W1 x, v = W3 x,   beta = exp(b), b = 0 at birth

beta -> 0 makes the gate half the identity, beta -> infinity a ReLU. Since
g * sigmoid(beta g) = silu(beta g) / beta, beta is folded into the rows of W1 and the columns of W2:
two products of small matrices instead of two passes over all activations.

Shapes: B batch, T time, D width, F hidden.
Source: Ramachandran et al., "Searching for Activation Functions", 2017; Shazeer, "GLU Variants
Improve Transformer", 2020 (both recalled); papers.md 11.b.
"""

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from rankspace.model.presets import NetworkConfig


class FeedForward(nn.Module):
    """Each symbol thinks alone."""

    def __init__(self, config: NetworkConfig) -> None:
        super().__init__()
        self.gated = config.gated
        self.inner = nn.Linear(config.width, config.hidden * (2 if config.gated else 1), bias=False)
        self.out = nn.Linear(config.hidden, config.width, bias=False)
        self.log_beta = nn.Parameter(torch.zeros(config.hidden)) if config.gated else None

    def forward(self, x: Float[Tensor, "b t d"]) -> Float[Tensor, "b t d"]:
        if self.log_beta is None:
            return self.out(F.gelu(self.inner(x)))
        beta = self.log_beta.exp()
        scale = torch.cat((beta, torch.ones_like(beta)))[:, None]
        gate, value = F.linear(x, self.inner.weight * scale).chunk(2, dim=-1)
        return F.linear(F.silu(gate) * value, self.out.weight / beta)

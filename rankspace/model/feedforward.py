"""The feed-forward layer: a Swish-beta gate, beta per hidden channel.

    y = W2 ( g * sigmoid(beta * g) * v ),   g = W1 x, v = W3 x,   beta = exp(b), b = 0 at birth

beta -> 0 makes the gate half the identity, beta -> infinity a ReLU. Since
g * sigmoid(beta g) = silu(beta g) / beta, beta is folded into the rows of W1 and the columns of W2:
two products of small matrices instead of two passes over all activations.

Switches, each as above where it is off:

    gate_beta input   beta(x) = exp(b + tanh(w x)), w = 0 at birth: one factor a symbol, within
                      1/e and e, on top of the channel's own
    gated off         y = W2 gelu(W1 x)
    squared           y = W2 relu(W1 x)^2

Shapes: B batch, T time, D width, F hidden.
Source: Ramachandran et al., "Searching for Activation Functions", 2017; Shazeer, "GLU Variants
Improve Transformer", 2020 (both recalled); papers.md 11.b. Squared: So et al., "Primer", 2021
(recalled). The bounded head is our formalisation.
"""

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from rankspace.model.config import NetworkConfig


class FeedForward(nn.Module):
    """Each symbol thinks alone."""

    def __init__(self, config: NetworkConfig) -> None:
        super().__init__()
        self.squared = config.squared
        self.inner = nn.Linear(config.width, config.hidden * (2 if config.gated else 1), bias=False)
        self.out = nn.Linear(config.hidden, config.width, bias=False)
        self.log_beta = nn.Parameter(torch.zeros(config.hidden)) if config.gated else None
        self.sense = None
        if config.gate_beta == "input":
            self.sense = nn.Parameter(torch.zeros(config.width))

    def forward(self, x: Float[Tensor, "b t d"]) -> Float[Tensor, "b t d"]:
        if self.log_beta is None:
            hidden = self.inner(x)
            return self.out(F.relu(hidden).square() if self.squared else F.gelu(hidden))
        inner, out = self.folded()
        gate, value = F.linear(x, inner).chunk(2, dim=-1)
        if self.sense is None:
            return F.linear(F.silu(gate) * value, out)
        beta = torch.tanh(x @ self.sense.to(x.dtype)).exp()[..., None]  # [B, T, 1]
        return F.linear(F.silu(gate * beta) * value, out) / beta

    def folded(self) -> tuple[Float[Tensor, "f2 d"], Float[Tensor, "d f"]]:
        """W1 and W3 over each other, and W2, with beta in them."""
        if self.log_beta is None:
            return self.inner.weight, self.out.weight
        beta = self.log_beta.exp()
        scale = torch.cat((beta, torch.ones_like(beta)))[:, None]
        return self.inner.weight * scale, self.out.weight / beta

    def gate(self, x: Float[Tensor, "b t d"]) -> Float[Tensor, "b t f"] | None:
        """The beta * g that a gate is the sigmoid of; None where there is no gate."""
        if self.log_beta is None:
            return None
        gate = F.linear(x, self.folded()[0]).chunk(2, dim=-1)[0]
        if self.sense is None:
            return gate
        return gate * torch.tanh(x @ self.sense.to(x.dtype)).exp()[..., None]

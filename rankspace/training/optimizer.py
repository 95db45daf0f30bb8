"""Two optimisers: Muon for the matrices inside blocks, AdamW for all else.

Muon makes the update of a matrix orthogonal, which takes larger steps in the directions a
gradient rarely points to; tables, gains and biases have no such directions. Rates rise over a few
steps, hold, and fall linearly to zero over the last ones, or never.

Source: Jordan et al., "Muon", 2024; Loshchilov & Hutter, "Decoupled Weight Decay", 2019 (both
recalled).
"""

from collections.abc import Sequence

import torch
from torch import nn

from rankspace.errors import Diverged
from rankspace.model.native import passes
from rankspace.model.network import Network
from rankspace.model.presets import Preset
from rankspace.training.job import DECAY
from rankspace.training.muon import Muon

WARM_UP = 20
RATES: dict[Preset, tuple[float, float]] = {
    "rank": (0.05, 7.5e-3),
    "rank_moe": (0.05, 7.5e-3),
    "gpt2": (0.0, 1e-3),
    "prism": (0.0, 1e-3),
    "crate": (0.0, 1e-3),
}
"""Of Muon and AdamW; the presets without statistics have AdamW alone."""

CLIP = 1.0
"""Most that the gradient's norm may be."""


class Optimizer:
    """Both, as one."""

    def __init__(self, network: nn.Module, preset: Preset, scale: float) -> None:
        rates = [rate * scale for rate in RATES[preset]]
        inside = [
            (name, weight)
            for name, weight in network.named_parameters()
            if weight.ndim == 2
            and (name.startswith("blocks.") or name == "mouth.weight")
            and not name.endswith("router.weight")
        ]
        matrices = dict(inside) if rates[0] else {}
        rest = [w for name, w in network.named_parameters() if name not in matrices]
        self._parameters = list(network.parameters())
        self._rest = rest
        self.muon: Muon | None = None
        self.parts: list[torch.optim.Optimizer] = [
            torch.optim.AdamW(rest, lr=rates[1], betas=(0.9, 0.95), weight_decay=0.0, fused=True)
        ]
        self._rates = [rates[1]]
        if matrices:
            self.muon = Muon(matrices.values(), lr=rates[0], momentum=0.95, weight_decay=0.01)
            if isinstance(network, Network) and network.config.native:
                self.muon.passes = passes()
            self.parts.append(self.muon)
            self._rates.append(rates[0])

    def step(self, factor: float) -> float:
        """Take one step at this share of the rates; returns the gradient's norm before clipping.

        Raises Diverged, and moves nothing, if the gradient is no number.
        """
        norm = self._clip()
        if not norm.isfinite():
            raise Diverged(f"the gradient's norm became {float(norm)}")
        for part, rate in zip(self.parts, self._rates, strict=True):
            for group in part.param_groups:
                group["lr"] = rate * factor
            part.step()
            part.zero_grad(set_to_none=True)
        return float(norm)

    def _clip(self) -> torch.Tensor:
        """Scale gradients down to `CLIP`; passes do it to those of matrices as they read them."""
        if self.muon is None or self.muon.passes is None:
            return nn.utils.clip_grad_norm_(self._parameters, CLIP)
        norm = nn.utils.get_total_norm([w.grad for w in self._parameters if w.grad is not None])
        self.muon.scale = float((CLIP / (norm + 1e-6)).clamp(max=1.0))
        torch._foreach_mul_([w.grad for w in self._rest if w.grad is not None], self.muon.scale)
        return norm


def factor(step: int, steps: int, decay: float = DECAY) -> float:
    """Share of the full rates at a step, counted from 0; they fall over the last `decay` of all."""
    left = (steps - step) / max(1.0, steps * decay)
    return min(1.0, (step + 1) / WARM_UP, left)


class Average:
    """The exponential moving average of a network's weights: what is kept of it.

    Its memory grows with the steps taken, so early noise is forgotten soon.
    """

    def __init__(self, network: nn.Module, horizon: float = 50.0) -> None:
        self._horizon = horizon
        self._network = network
        self._live = [weight.detach() for weight in network.parameters()]
        self.weights = [weight.clone() for weight in self._live]
        self.best: dict[str, torch.Tensor] = {}
        """By the names of `state`, what was noted last; empty if nothing was."""

    def update(self, step: int) -> None:
        """Follow the network after a step, counted from 0."""
        pace = 1.0 / min(self._horizon, 1.0 + step / 2)
        torch._foreach_lerp_(self.weights, self._live, pace)

    def swap(self) -> None:
        """Exchange the average and the live weights; twice is the identity."""
        for mean, live in zip(self.weights, self._live, strict=True):
            held = live.clone()
            live.copy_(mean)
            mean.copy_(held)

    def note(self) -> None:
        """Keep a copy of the average as it is now, and of what else the network remembers."""
        means = self._means()
        self.best = {n: means.get(n, value).clone() for n, value in state(self._network).items()}

    def recall(self) -> None:
        """Make what was noted the average again, and what the network remembered with it."""
        means, live = self._means(), state(self._network)
        for name, value in self.best.items():
            means.get(name, live[name]).copy_(value)

    def _means(self) -> dict[str, torch.Tensor]:
        """The average by the names that `state` has for the live weights."""
        names = (f"weight/{name}" for name, _ in self._network.named_parameters())
        return dict(zip(names, self.weights, strict=True))


def state(network: nn.Module) -> dict[str, torch.Tensor]:
    """Weights, and what else a network remembers; the codecs' features come of the data."""
    found = {f"weight/{name}": weight.detach() for name, weight in network.named_parameters()}
    kept = network.state_dict().keys() - {"features"}
    return found | {f"buffer/{n}": value for n, value in network.named_buffers() if n in kept}


def shapes(parameters: Sequence[torch.Tensor]) -> int:
    """How many numbers there are."""
    return sum(parameter.numel() for parameter in parameters)

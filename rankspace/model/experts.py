"""A choice of feed-forward layers: each symbol is sent to the k of E experts that fit it.

    p = softmax(beta_r * E x)            the router's law, beta_r = exp(s), 1 at birth
    chosen = the k largest of p + b      b is in the choice and not in the weights
    y = sum over chosen of p_i / sum p * expert_i(x)
    b_i <- b_i + u * sign(mean load - load_i)     after each step: balanced without a loss for it

A symbol's choice looks at that symbol alone, so nothing of the future decides; a choice by experts
among symbols would. Symbols are sorted by expert and all experts are one batch of products, filled
up to the busiest. load_i is how many symbols expert i had in the last step.

    MaxVio = (max load - mean load) / mean load

Shapes: N symbols, E experts, k active, C room of an expert, D width, F hidden.
Source: Wang et al., arXiv 2408.15664 (second hand); the softmax with beta_r is our formalisation.
"""

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor, nn

from rankspace.model.config import NetworkConfig
from rankspace.model.feedforward import FeedForward

ROOM = 64
"""An expert's room is a multiple of this where there is that much: few shapes, prepared once."""


class Experts(nn.Module):
    """Each symbol thinks with those who know."""

    bias: Float[Tensor, "e"]
    load: Int[Tensor, "e"]

    def __init__(self, config: NetworkConfig) -> None:
        super().__init__()
        self.active = config.active
        self.rate = config.balance_rate
        self.router = nn.Linear(config.width, config.experts, bias=False)
        self.log_router = nn.Parameter(torch.zeros(()))
        self.experts = nn.ModuleList(FeedForward(config) for _ in range(config.experts))
        self.register_buffer("bias", torch.zeros(config.experts))
        loads = torch.zeros(config.experts, dtype=torch.int64)
        self.register_buffer("load", loads, persistent=False)

    @property
    def log_beta(self) -> Float[Tensor, "e f"]:
        """The ln beta of every expert's gate."""
        betas = [expert.log_beta for expert in self._each()]
        return torch.stack([beta for beta in betas if beta is not None])

    def law(self, x: Float[Tensor, "*n d"]) -> Float[Tensor, "*n e"]:
        """The router's odds."""
        return (self.router(x).float() * self.log_router.exp()).softmax(-1)

    def choose(self, p: Float[Tensor, "n e"]) -> tuple[Int[Tensor, "n k"], Float[Tensor, "n k"]]:
        """Who is asked, and how much each counts."""
        chosen = (p + self.bias).topk(self.active, dim=-1).indices
        weights = p.gather(-1, chosen)
        return chosen, weights / weights.sum(-1, keepdim=True)

    def forward(self, x: Float[Tensor, "b t d"]) -> Float[Tensor, "b t d"]:
        flat = x.flatten(0, 1)
        chosen, weights = self.choose(self.law(flat))
        owner, order = chosen.flatten().sort(stable=True)
        load = torch.bincount(owner, minlength=len(self.bias))
        if self.training:
            self.load = load
        room = int(load.max())
        room += -room % ROOM if room > ROOM else 0
        place = torch.arange(len(owner)) - (load.cumsum(0) - load)[owner]
        slots, rows = owner * room + place, order // self.active
        y = self._think(flat.new_zeros(len(load) * room, flat.shape[1]), slots, flat[rows])
        y = y * weights.flatten()[order, None].to(y.dtype)
        return torch.zeros_like(flat, dtype=y.dtype).index_add(0, rows, y).view_as(x)

    def _think(
        self, space: Float[Tensor, "s d"], slots: Int[Tensor, "m"], asked: Float[Tensor, "m d"]
    ) -> Float[Tensor, "m d"]:
        """What each expert answers to what it is asked, all in one product."""
        inner, out = (
            torch.stack(parts)
            for parts in zip(*(expert.folded() for expert in self._each()), strict=True)
        )
        given = space.index_copy(0, slots, asked).unflatten(0, (len(inner), -1))  # [E, C, D]
        gate, value = (given @ inner.transpose(1, 2)).chunk(2, dim=-1)
        return ((F.silu(gate) * value) @ out.transpose(1, 2)).flatten(0, 1)[slots]

    def _each(self) -> list[FeedForward]:
        return [expert for expert in self.experts if isinstance(expert, FeedForward)]

    @torch.no_grad()
    def settle(self) -> None:
        """Move the bias toward even loads; workers that share a step share the loads first."""
        load = self.load.float()
        self.bias += self.rate * (load.mean() - load).sign()


def violation(load: Int[Tensor, "e"]) -> float:
    """MaxVio: 0 where all experts are as busy as each other."""
    mean = load.float().mean()
    return float((load.max() - mean) / mean.clamp(min=1e-9))

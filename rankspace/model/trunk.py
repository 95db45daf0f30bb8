"""All blocks at once while training: their derivative written out, few passes over activations.

    x' = x + O y,   y = p v,   p = softmax(beta cos(q, k)),   x'' = x' + W2 (silu(g) v)
    said = sum_l voice_l * (x_l - mean) / std

the formulas of block.py, attention.py, feedforward.py and network.py, for the switches that the
`rank` preset has. Products are of bfloat16, PyTorch's or on tiles (native.py); what lies between
two products is one pass of passes.cpp; the stream, its gradient and all sums are float32. The
backward pass is the same chain read from its end. Equal to the plain form but for rounding.

Attention is asked for a mask in which nothing sees what came later; training has no other.

Shapes: N = B T positions, D width, H heads, K head width, F hidden, R/2 pairs that turn, L blocks.
Source: the derivatives of the formulas named; that delta = sum_s p dp = <dy, y> is from
FlashAttention (Dao et al., 2022, recalled).
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.autograd.function import once_differentiable

from rankspace.model.config import NetworkConfig
from rankspace.model.feedforward import FeedForward
from rankspace.model.native import TILE, Passes, gate, gate_back, passes, times, weigh
from rankspace.model.network import Inputs, Network
from rankspace.model.positions import table

HIDDEN = -1e30
"""Added to scores that are not to be seen."""

ROW_MAX = 8192
"""Longest row that a pass holds."""

HEAD_MAX = 1024

NEEDS: dict[str, Any] = {
    "rotary": True, "gated": True, "query_key_norm": True, "prior": True,
    "norm": "layer", "tied": False, "noise_heads": 0, "length_term": False, "supervise": 0.0,
    "value_residual": False, "first_residual": False, "think": "dense", "gate_beta": "channel",
    "experts": 0,
}  # fmt: skip
"""The switches it is written for."""


class Weights(NamedTuple):
    """Of one block; `scale` is beta over the head width, `beta` that of the gates."""

    norm1: Tensor
    scale: Tensor
    qkv: Tensor
    out: Tensor
    norm2: Tensor
    inner: Tensor
    beta: Tensor
    down: Tensor


@dataclass(frozen=True, slots=True, eq=False)
class Setting:
    """What all blocks of a pass share."""

    passes: Passes
    heads: int
    drop: float
    """Share of what blocks add that is dropped."""

    seeds: list[int]
    """Of what is dropped: after attention and after thinking, block by block."""

    bias: Float[Tensor, "b t t"]
    """0 or `HIDDEN`, in bfloat16."""

    cos: Float[Tensor, "b t pairs"]
    sin: Float[Tensor, "b t pairs"]

    def shape(self, width: int) -> tuple[int, int, int, int, int]:
        """B, T, H, K and the pairs that turn."""
        rows, time, pairs = self.cos.shape
        return rows, time, self.heads, width // self.heads, pairs

    def tiled(self, width: int) -> bool:
        """Whether attention goes head by head on tiles."""
        _, time, _, size, _ = self.shape(width)
        return self.passes.tiles and not (time % TILE or size % TILE)

    def chance(self, layer: int) -> tuple[int, int]:
        """The seeds of what enters a block, and of what its attention adds."""
        return self.seeds[2 * layer - 1], self.seeds[2 * layer]


@dataclass(slots=True, eq=False)
class Kept:
    """What the backward pass of a block needs."""

    weights: Weights
    x: Tensor
    seen: Tensor
    stat1: Tensor
    heads: tuple[Tensor, Tensor, Tensor, Tensor]
    odds: Tensor
    mixed: Tensor
    middle: Tensor
    thought: Tensor
    stat2: Tensor
    inner: Tensor
    act: Tensor


def ready(config: NetworkConfig, time: int) -> Passes | None:
    """The passes, if they can do this network over rows of this length, here and now."""
    fits = config.native and all(getattr(config, name) == value for name, value in NEEDS.items())
    small = max(time, config.width) <= ROW_MAX and config.head_width <= HEAD_MAX
    learns = torch.is_grad_enabled() and torch.is_autocast_enabled("cpu")
    plain = len(config.rotary_bases) == 1
    return passes() if fits and small and learns and plain else None


def speak(
    network: Network, inputs: Inputs, mask: Bool[Tensor, "b 1 t t"] | None
) -> Float[Tensor, "b t d"]:
    """What all blocks say together: Network.mix of Network.states, by the faster way there is."""
    found = ready(network.config, inputs.symbols.shape[1]) if mask is not None else None
    if found is None or mask is None:
        return network.mix(network.states(inputs, mask))
    config, x = network.config, network.read(inputs).float()
    turning = config.head_width // (1 if config.rotary_whole else 2)
    cos, sin = table(inputs.times, turning, config.rotary_bases)[:, :, 0].contiguous().unbind(0)
    bias = torch.full_like(mask[:, 0], HIDDEN, dtype=torch.bfloat16).masked_fill_(mask[:, 0], 0.0)
    drop = config.dropout if network.training else 0.0
    seeds = torch.randint(1 << 32, (2 * config.depth,)).tolist() if drop else [0] * 2 * config.depth
    setting = Setting(found, config.heads, drop, seeds, bias, cos, sin)
    voices = network.voices()[:, None] * network.norm.weight
    weights = [weight for each in _weights(network) for weight in each]
    said = _Trunk.apply(setting, x.flatten(0, 1).contiguous(), voices, *weights).view_as(x)
    return network.mouth(said) if network.mouth is not None else said


def _weights(network: Network) -> Iterator[Weights]:
    for block in network.layers:
        attention, think = block.attention, block.feedforward
        if not isinstance(think, FeedForward) or think.log_beta is None:
            raise TypeError("passes are for gates with a beta")
        if attention.log_beta is None:
            raise TypeError("passes are for heads with a beta")
        inner, down = think.inner.weight, think.out.weight
        scale = attention.log_beta.exp() / network.config.head_width
        yield Weights(
            block.norm1.weight, scale, attention.qkv.weight, attention.out.weight,
            block.norm2.weight, inner, think.log_beta.exp(), down,
        )  # fmt: skip


Before = tuple[Tensor | None, Tensor | None, Tensor | None, int]
"""The gradient of what is said, the voice of the state before and its gradient; the block."""


Said = tuple[Tensor | None, Tensor, int]
"""The voice of the state that is read, what is said so far, and the block."""


class _Trunk(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, setting: Setting, x: Tensor, voices: Tensor, *weights: Tensor) -> Tensor:
        with torch.autocast("cpu", enabled=False):
            said, add, voice = torch.empty_like(x), None, None
            kept: list[Kept] = []
            for layer in range(len(voices)):
                one = Weights(*weights[layer * 8 : layer * 8 + 8])
                found, add = _forward(setting, one, x, add, (voice, said, layer))
                x, voice = found.middle, voices[layer].contiguous()
                kept.append(found)
            last, stat = torch.empty_like(x), x.new_empty(len(x), 2)
            setting.passes.run(
                "add_norm", *x.shape, x, add, setting.seeds[-1], setting.drop, last, None, None,
                voice, said, int(len(kept) == 1), stat,
            )  # fmt: skip
        ctx.setting, ctx.kept, ctx.last, ctx.voices = setting, kept, (last, stat), voices
        return said

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Any, ...]:
        setting, kept, (last, stat), voices = ctx.setting, ctx.kept, ctx.last, ctx.voices.detach()
        told: list[Weights] = []
        with torch.autocast("cpu", enabled=False):
            heard, dx = grad.bfloat16().contiguous(), torch.empty_like(last)
            small, dvoices = torch.empty_like(heard), torch.zeros_like(voices)
            setting.passes.run(
                "norm_back", *last.shape, None, None, heard, voices[-1], last, stat, dx, 1,
                setting.seeds[-1], setting.drop, small, None, dvoices[-1],
            )  # fmt: skip
            for layer in reversed(range(len(kept))):
                before: Before = (None, None, None, 0)
                if layer:
                    before = (heard, voices[layer - 1], dvoices[layer - 1], layer)
                told.insert(0, _backward(setting, kept.pop(), dx, small, before))
        return None, dx, dvoices, *(weight for each in told for weight in each)


def _forward(
    setting: Setting, weights: Weights, x: Tensor, add: Tensor | None, told: Said
) -> tuple[Kept, Tensor]:
    """A block over the stream x + add; what it adds in turn is yet to be added."""
    run, (count, width), (voice, said, layer) = setting.passes.run, x.shape, told
    drop, after_thought, after_attention = setting.drop, *setting.chance(layer)
    norm1, scale, qkv, out, norm2, inner, beta, down = (
        w.bfloat16() if w.ndim > 1 else w.float().contiguous() for w in weights
    )
    state, stat1, stat2 = torch.empty_like(x), x.new_empty(count, 2), x.new_empty(count, 2)
    seen = x.new_empty(count, width, dtype=torch.bfloat16)
    run(
        "add_norm", count, width, x, add, after_thought, drop, state, norm1, seen, voice, said,
        int(layer == 1), stat1,
    )  # fmt: skip
    mixed = torch.empty_like(seen)
    looked, odds = _attend(setting, times(setting.passes, seen, qkv.T), scale, mixed)
    middle, thought = torch.empty_like(x), torch.empty_like(seen)
    looked_at = times(setting.passes, mixed, out.T)
    run(
        "add_norm", count, width, state, looked_at, after_attention, drop, middle, norm2, thought,
        None, None, 0, stat2,
    )  # fmt: skip
    gates, act = gate(setting.passes, thought, inner, beta)
    cast = Weights(norm1, scale, qkv, out, norm2, inner, beta, down)
    kept = Kept(cast, state, seen, stat1, looked, odds, mixed, middle, thought, stat2, gates, act)
    return kept, times(setting.passes, act, down.T)


def _attend(
    setting: Setting, whole: Tensor, scale: Tensor, mixed: Tensor
) -> tuple[tuple[Tensor, Tensor, Tensor, Tensor], Tensor]:
    """Queries, keys, values and their norms; the odds. What is heard goes into `mixed`, [N, D]."""
    run, told = setting.passes.run, (setting.cos, setting.sin, scale)
    shape = rows, time, heads, size, _ = setting.shape(mixed.shape[1])
    q, k, v = (whole.new_empty(rows * heads, time, size) for _ in range(3))
    norms = scale.new_empty(len(whole), 2 * heads)
    if setting.tiled(mixed.shape[1]):
        odds = q.new_empty(len(q), time, time)
        run("attend", *shape, whole, *told, setting.bias, q, k, v, norms, odds, mixed)
        return (q, k, v, norms), odds
    run("heads", *shape, whole, *told, q, k, v, norms)
    odds = q @ k.mT
    run("soften", rows, heads, time, odds, setting.bias)
    run("gather", rows, time, heads, size, odds @ v, mixed)
    return (q, k, v, norms), odds


def _backward(setting: Setting, kept: Kept, dx: Tensor, small: Tensor, before: Before) -> Weights:
    """Gradients of a block's weights; dx, and `small` in bfloat16, move to its input."""
    run, weights, (count, width) = setting.passes.run, kept.weights, dx.shape
    heard, voice, dvoice, layer = before
    drop, after_thought, after_attention = setting.drop, *setting.chance(layer)
    ddown = weigh(setting.passes, small, kept.act)
    dgates, dbeta = kept.inner, torch.zeros_like(weights.beta)  # in the place of the gates
    gate_back(setting.passes, small, weights.down, weights.beta, (dgates, dbeta))
    dinner = weigh(setting.passes, dgates, kept.thought)
    dthought = times(setting.passes, dgates, weights.inner)
    dnorm2 = torch.zeros_like(weights.norm2)
    run(
        "norm_back", count, width, dthought, weights.norm2, None, None, kept.middle, kept.stat2, dx,
        0, after_attention, drop, small, dnorm2, None,
    )  # fmt: skip
    dout, dscale = weigh(setting.passes, small, kept.mixed), torch.zeros_like(weights.scale)
    dwhole = _attention_back(setting, kept, times(setting.passes, small, weights.out), dscale)
    dqkv = weigh(setting.passes, dwhole, kept.seen)
    dseen = times(setting.passes, dwhole, weights.qkv)
    dnorm1 = torch.zeros_like(weights.norm1)
    run(
        "norm_back", count, width, dseen, weights.norm1, heard, voice, kept.x, kept.stat1, dx, 0,
        after_thought, drop, small, dnorm1, dvoice,
    )  # fmt: skip
    return Weights(dnorm1, dscale, dqkv, dout, dnorm2, dinner, dbeta, ddown)


def _attention_back(setting: Setting, kept: Kept, dy: Tensor, dscale: Tensor) -> Tensor:
    """From the gradient of what was heard to that of queries, keys and values, [N, 3 D]."""
    run, (q, k, v, norms), mixed = setting.passes.run, kept.heads, kept.mixed
    shape = rows, time, heads, size, _ = setting.shape(dy.shape[1])
    dwhole = dy.new_empty(len(dy), 3 * dy.shape[1])
    told = (setting.cos, setting.sin, kept.weights.scale, dwhole, dscale)
    if setting.tiled(dy.shape[1]):
        run("attend_back", *shape, q, k, v, norms, kept.odds, mixed, dy, *told)
        return dwhole
    grad, delta = torch.empty_like(q), dy.new_empty(rows * heads * time, dtype=torch.float32)
    run("spread", rows, time, heads, size, dy, mixed, grad, delta)
    scores, dv = grad @ v.mT, kept.odds.mT @ grad
    run("soften_back", rows * heads * time, time, kept.odds, delta, scores)
    run("heads_back", *shape, scores @ k, scores.mT @ q, dv, q, k, norms, *told)
    return dwhole

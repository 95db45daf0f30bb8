"""The network is a selector: the memory proposes, every block re-ranks.

    x_0    = E[symbol] + W f[symbol] + P[place] + R[bucket(rank)]
    x_l    = x_{l-1} + Attention(norm x_{l-1}) + FeedForward(norm ...)
    m      = sum_l a_l norm(x_l)                     every block speaks
    logits = beta_out * ( g * ln p0(.|c) + (1 - g) * ln p0(.) + (E + W f) M m )      M = 0 at birth

f are the codecs' features of a symbol (what its patch or sound looks like), so symbols that look
alike start alike. With M = 0 and g = 1 the loss before the first step is the memory's own
cross-entropy (the birth law); g then falls to 0 while training, which leaves the unigram law as
the output's bias.

Shapes: B batch, T time, D width, V vocabulary, F features, L depth, N positions that are read out.
The last line is model/readout.py, which knows what may come next.
Source: our formalisation, docs/theory.md definition 4.
"""

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from rankspace.model.block import Block, normed
from rankspace.model.cache import Cache
from rankspace.model.config import Kind, NetworkConfig
from rankspace.model.experts import Experts
from rankspace.model.memory import Trust
from rankspace.model.scene import scene

HELD: dict[Kind, str] = {
    "attention": "attention.log_beta",
    "gate": "feedforward.log_beta",
    "router": "log_router",
    "output": "log_beta",
}
"""How the parameter of each kind of beta ends its name."""


@dataclass(frozen=True, slots=True)
class Inputs:
    """What the network reads, position by position."""

    symbols: Int[Tensor, "b t"]
    places: Int[Tensor, "b t"]
    """Place of the symbol in its codec's repeating layout; 0 for none."""

    buckets: Int[Tensor, "b t"]
    """Bucket of the symbol's rank in the memory's order."""

    times: Int[Tensor, "b t"]
    """Position of the symbol in its own history, from 0."""


class Network(nn.Module):
    """Symbols in, for every position a state that `Readout` turns into logits."""

    def __init__(self, config: NetworkConfig, features: Float[Tensor, "v f"] | None = None) -> None:
        super().__init__()
        self.config = config
        self.embed = nn.Embedding(config.vocabulary, config.width)
        self.position = None if config.rotary else nn.Embedding(config.context, config.width)
        self.place = nn.Embedding(config.places, config.width) if config.places > 1 else None
        self.bucket = (
            nn.Embedding(config.rank_buckets, config.width) if config.rank_buckets else None
        )
        self.look = (
            nn.Linear(config.features, config.width, bias=False) if config.features else None
        )
        table_ = (
            features if features is not None else torch.zeros(config.vocabulary, config.features)
        )
        self.register_buffer("features", table_)
        self.blocks = nn.ModuleList(Block(config) for _ in range(config.depth))
        self.norm = normed(config)
        self.say = nn.Parameter(_voices(config)) if config.all_blocks_speak else None
        self.mouth = nn.Linear(config.width, config.width, bias=False) if config.prior else None
        self.log_beta = nn.Parameter(torch.zeros(())) if config.prior else None
        self.trust = Trust(config)
        self.reset()
        for kind in config.hold:
            for weight in self.held(kind):
                weight.requires_grad = False

    def reset(self) -> None:
        """Draw the birth weights.

        Matrices of a block: normal, 0.02 (gpt2) or 1/sqrt(fan in) (rank); those that write into
        the stream are scaled down by sqrt(2L) (gpt2) or zero (rank). The mouth is zero, so the
        memory alone speaks. A dictionary's words are normal, sqrt(2 / D) (Kaiming).
        """
        plain = not self.config.prior
        for name, weight in self.named_parameters():
            if weight.ndim < 2:
                continue
            writes = name.endswith("out.weight")
            std = 0.02 if plain or "blocks" not in name else weight.shape[1] ** -0.5
            if name.endswith("code.weight"):
                std = (2 / weight.shape[1]) ** 0.5
            if plain and writes:
                std /= (2 * self.config.depth) ** 0.5
            nn.init.normal_(weight, std=std)
            if not plain and (writes or name == "mouth.weight"):
                nn.init.zeros_(weight)

    @property
    def layers(self) -> tuple[Block, ...]:
        """The blocks, by their type."""
        return tuple(block for block in self.blocks if isinstance(block, Block))

    def unembedding(self) -> Float[Tensor, "v d"]:
        """What each symbol looks like to the network: tied with the input."""
        if self.look is None:
            return self.embed.weight
        return self.embed.weight + self.look(self.features)

    def read(self, inputs: Inputs) -> Float[Tensor, "b t d"]:
        """x_0."""
        x = self.embed(inputs.symbols)
        if self.look is not None:
            x = x + F.embedding(inputs.symbols, self.look(self.features))
        if self.place is not None:
            x = x + self.place(inputs.places)
        if self.bucket is not None:
            x = x + self.bucket(inputs.buckets)
        if self.training and self.config.noise:
            x = _swapped(x, self.config.noise)
        if self.position is not None:
            x = x + self.position(inputs.times.clamp(max=self.config.context - 1))
        return x

    def states(
        self,
        inputs: Inputs,
        mask: Bool[Tensor, "b 1 t s"] | None = None,
        cache: Cache | None = None,
    ) -> list[Float[Tensor, "b t d"]]:
        """x_1 .. x_L."""
        x = self.read(inputs)
        told = scene(self.config, inputs.times, mask)
        told.first = x
        out = []
        for layer, block in enumerate(self.blocks):
            x = block(x, told, cache.layers[layer] if cache is not None else None)
            out.append(x)
        return out

    def mix(self, states: list[Float[Tensor, "*n d"]]) -> Float[Tensor, "*n d"]:
        """What the blocks say together, before it meets the symbols."""
        if self.say is None:
            mixed = self.norm(states[-1])
        else:
            # a_l goes into the norm's own weight: no pass over the states but the norm itself.
            mixed = sum(self._said(state, layer) for layer, state in enumerate(states))
        return self.mouth(mixed) if self.mouth is not None else mixed

    def alone(self, state: Float[Tensor, "*n d"]) -> Float[Tensor, "*n d"]:
        """What would be said if every block said what this one does."""
        mixed = self.norm(state)
        if self.say is not None and self.config.speak != "softmax":
            mixed = mixed * self.say.mean()
        return self.mouth(mixed) if self.mouth is not None else mixed

    def voices(self) -> Float[Tensor, "l"]:
        """The weight of each block in what is said."""
        if self.say is None:
            return F.one_hot(torch.tensor(len(self.blocks) - 1), len(self.blocks)).float()
        if self.config.speak == "softmax":
            return self.say.softmax(0)
        return self.say / len(self.blocks)

    def _said(self, state: Float[Tensor, "*n d"], layer: int) -> Float[Tensor, "*n d"]:
        """a_l norm(x_l) / L."""
        if self.say is None:
            return self.norm(state)
        if self.config.speak == "softmax":
            weight = self.norm.weight * self.voices()[layer]
        else:
            weight = self.norm.weight * self.say[layer] / len(self.blocks)
        if self.config.norm == "rms":
            return F.rms_norm(state, self.norm.normalized_shape, weight, self.norm.eps)
        return F.layer_norm(state, self.norm.normalized_shape, weight)

    def advance(self, progress: float) -> None:
        """Set what follows from the share of the training that is done: lambda of the noise heads.

        lambda rises by half a cosine, so that what is far and regular is learnt first.
        """
        birth, end = self.config.noise_birth, self.config.noise_end
        for block in self.layers if self.config.noise_heads else ():
            weight = birth + (end - birth) * (1 - math.cos(math.pi * progress)) / 2
            block.attention.noise.fill_(weight)

    def held(self, kind: Kind) -> list[nn.Parameter]:
        """The ln beta of a kind, block by block."""
        found = [(name, weight) for name, weight in self.named_parameters()]
        if kind == "output":
            return [weight for name, weight in found if name == HELD[kind]]
        return [weight for name, weight in found if name.endswith("." + HELD[kind])]

    def betas(self) -> dict[str, float]:
        """Every inverse temperature of the network by name; means over heads and channels."""
        found = {"output": 1.0 if self.log_beta is None else float(self.log_beta.detach().exp())}
        for layer, block in enumerate(self.layers):
            for part in ("attention", "feedforward"):
                log_beta = getattr(block, part).log_beta
                if log_beta is not None:
                    found[f"{part}/{layer}"] = float(log_beta.detach().exp().mean())
            if isinstance(block.feedforward, Experts):
                found[f"router/{layer}"] = float(block.feedforward.log_router.detach().exp())
        return found

    def cache(self, capacity: int, batch: int = 1) -> Cache:
        """An empty memory for a live stream of at most `capacity` symbols."""
        shape = (batch, self.config.heads, capacity, self.config.head_width)
        return Cache(self.config.depth, shape, self.embed.weight.dtype)


def _swapped(x: Float[Tensor, "b t d"], share: float) -> Float[Tensor, "b t d"]:
    """Some positions read what another position of the batch holds.

    So symbols stand for others as often as those come: unigram noising, Xie et al. 2017 (recalled).
    """
    rows = x.flatten(0, 1)
    hit = torch.rand(len(rows), 1) < share
    return torch.where(hit, rows[torch.randint(len(rows), (len(rows),))], rows).view_as(x)


def _voices(config: NetworkConfig) -> Float[Tensor, "l"]:
    """a_l at birth."""
    if config.speak == "softmax":
        return torch.zeros(config.depth)
    if config.speak == "last":
        return F.one_hot(torch.tensor(config.depth - 1), config.depth).float() * config.depth
    return torch.ones(config.depth)

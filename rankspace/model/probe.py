"""A look inside a network at work: what each block sees, gates and chooses, written out.

Nothing of it is needed to answer or to learn; it costs a second reading of attention's scores.

Shapes: B batch, T time, D width, H heads, F hidden, E experts.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from rankspace.model.experts import Experts
from rankspace.model.feedforward import FeedForward
from rankspace.model.network import Inputs, Network
from rankspace.model.scene import scene


@dataclass(frozen=True, slots=True, eq=False)
class Glimpse:
    """What one block did."""

    state: Float[Tensor, "b t d"]
    """x_l."""

    law: Float[Tensor, "b h t t"]
    """What each symbol looked at."""

    gate: Float[Tensor, "b t f"] | None
    """The share of each channel that its gate let through; None without one gate."""

    routes: Float[Tensor, "b t e"] | None
    """The router's odds; None without experts."""


@torch.no_grad()
def look(
    network: Network, inputs: Inputs, mask: Bool[Tensor, "b 1 t t"] | None = None
) -> list[Glimpse]:
    """What every block does with these inputs."""
    training = network.training
    network.eval()
    x = network.read(inputs)
    told = scene(network.config, inputs.times, mask)
    told.first = x
    found = []
    for block in network.layers:
        x = block.enter(x, told)
        seen = block.norm1(x)
        law = block.attention.law(seen, told)
        x = x + block.attention(seen, told)
        heard = block.norm2(x)
        think = block.feedforward
        x = x + think(heard)
        gate = think.gate(heard) if isinstance(think, FeedForward) else None
        routes = think.law(heard) if isinstance(think, Experts) else None
        found.append(Glimpse(x, law, gate.sigmoid() if gate is not None else None, routes))
    network.train(training)
    return found

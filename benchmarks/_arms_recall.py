"""What the product's memory says of a set of stories, worked out once: it does not learn.

Shapes: T symbols of a set, K laws beside the network.
"""

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from benchmarks._text_data import Stories
from rankspace.model.network import Network
from rankspace.model.readout import Readout

AT_ONCE = 1024
"""Positions that are asked for at once: bounds the scratch memory."""


@dataclass(frozen=True, slots=True, eq=False)
class Recall:
    """Of every symbol of a set; the one that opens a story is not asked for and has any values."""

    beside: Float[Tensor, "t k"]
    """Its ln p by the memory, and by what its story has said."""

    left: Float[Tensor, "t"]
    seen: Float[Tensor, "t"]
    """What `Readout.remembered` says before it."""


def recalled(network: Network, readout: Readout, stories: Stories) -> Recall:
    """Ask the memory for every symbol of these stories."""
    line = torch.from_numpy(stories.line.astype(np.int64))
    asked = torch.ones(len(line), dtype=torch.bool)
    asked[torch.from_numpy(stories.starts)] = False
    found: list[tuple[Tensor, Tensor, Tensor]] = []
    for at in asked.nonzero()[:, 0].split(AT_ONCE):
        past = readout.past(network, line[None], at - 1)
        laws, left, seen = readout.remembered(network, 0, past)
        came = readout.doors[0].local[line[at]][:, None]
        found.append((torch.cat([law.gather(1, came) for law in laws], 1), left, seen))
    beside, left, seen = map(torch.cat, zip(*found, strict=True))
    place = (asked.cumsum(0) - 1).clamp(min=0)
    return Recall(beside[place], left[place], seen[place])

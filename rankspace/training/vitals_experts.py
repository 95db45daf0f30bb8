"""Vital signs of experts: whether all have work, and whether each has a kind of symbol of its own.

    maxvio/l    (max load - mean load) / mean load, of the whole step
    dead/l      experts without any load
    route/l     entropy of the router's odds, as a share of ln E
    purity/l    share of symbols that are of the class their first expert sees most
    class_most  the same if there were one expert: what purity has to be compared with

A class is an alphabet: the symbols that may stand at one kind of place.

Shapes: N symbols, E experts, C classes, V vocabulary.
Source: papers.md 11.h; purity is that of clusterings (Manning et al., 2008; recalled).
"""

import math
from collections.abc import Sequence

import torch
from jaxtyping import Int
from torch import Tensor

from rankspace.model.experts import Experts, violation
from rankspace.model.network import Network
from rankspace.model.probe import Glimpse
from rankspace.model.readout import Readout
from rankspace.ranks.vocabulary import PAD
from rankspace.training.batches import Batch


def figures(
    network: Network, readout: Readout, glimpses: Sequence[Glimpse], batch: Batch
) -> dict[str, float]:
    """The vital signs of every block that has experts."""
    real = batch.inputs.symbols != PAD
    found: dict[str, float] = {}
    for layer, (block, glimpse) in enumerate(zip(network.layers, glimpses, strict=True)):
        experts = block.feedforward
        if not isinstance(experts, Experts) or glimpse.routes is None:
            continue
        p = glimpse.routes[real]
        first = experts.choose(p)[0][:, 0]
        kinds = classes(readout)[batch.inputs.symbols[real]]
        found |= {
            f"maxvio/{layer}": violation(experts.load),
            f"dead/{layer}": float((experts.load == 0).sum()),
            f"route/{layer}": float(torch.special.entr(p).sum(-1).mean()) / math.log(p.shape[-1]),
            f"purity/{layer}": purity(first, kinds),
            "class_most": purity(torch.zeros_like(first), kinds),
        }
    return found


def classes(readout: Readout) -> Int[Tensor, "v"]:
    """The class of every id; 0 for marks that are in no alphabet."""
    found = torch.zeros_like(readout.seen)
    for number, door in enumerate(readout.doors, start=1):
        found[door.ids] = number
    return found


def purity(groups: Int[Tensor, "n"], kinds: Int[Tensor, "n"]) -> float:
    """Share of the members of groups that are of the kind their group has most of."""
    table = torch.zeros(int(groups.max()) + 1, int(kinds.max()) + 1)
    table.index_put_((groups, kinds), torch.ones(len(groups)), accumulate=True)
    return float(table.max(1).values.sum() / len(groups))

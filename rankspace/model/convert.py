"""Weights of one layout into a network of another: what both have is carried over, by name.

A switch adds weights, takes them away or changes their shape; it never gives an old name another
meaning. So a weight of equal name and shape is carried, what the new network alone has stays as it
was born, and what it has no place for is left. Switches that add something begin as the identity,
and with those alone the new network says what the old one said.

Shapes: as in the files.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from rankspace.config import parse
from rankspace.errors import Corrupt
from rankspace.model import folder
from rankspace.model.config import NetworkConfig
from rankspace.model.network import Network
from rankspace.ranks.space import Space


@dataclass(frozen=True, slots=True)
class Carried:
    """What became of the weights, by name."""

    taken: tuple[str, ...]
    left: tuple[str, ...]
    born: tuple[str, ...]


@torch.no_grad()
def carry(weights: Mapping[str, Tensor], network: Network) -> Carried:
    """Carry weights into a network."""
    own = {name: value for name, value in network.state_dict().items() if name != "features"}
    taken = {
        name for name, value in weights.items() if name in own and own[name].shape == value.shape
    }
    for name in taken:
        own[name].copy_(weights[name])
    return Carried(
        tuple(sorted(taken)),
        tuple(sorted(weights.keys() - taken)),
        tuple(sorted(own.keys() - taken)),
    )


def convert(source: Path, target: Path, **switches: Any) -> Carried:
    """Write the model of one folder into another, existing and empty, with these switches.

    Settings that this version does not know are dropped. Raises Corrupt if there is no model, and
    InvalidConfig if the switches do not fit.
    """
    space = Space.load(source)
    try:
        values = json.loads((source / folder.CONFIG).read_bytes())
        weights = load_file(source / folder.WEIGHTS)
    except (OSError, ValueError, SafetensorError) as error:
        raise Corrupt("the network's files are missing or damaged; train it again") from error
    known = {name: value for name, value in values.items() if name in NetworkConfig.model_fields}
    config = parse(NetworkConfig, known | switches)
    network = Network(config, folder.features(config, space))
    carried = carry(weights, network)
    folder.save(target, network, space)
    return carried

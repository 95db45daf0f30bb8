"""Small networks over the small world: as they are born, or awake, where nothing is silent."""

from typing import Any, get_args

import numpy as np
import pytest
import torch

from rankspace.model import folder
from rankspace.model.config import Memory
from rankspace.model.network import Inputs, Network
from rankspace.model.presets import NetworkConfig, Preset, Shape
from rankspace.model.presets import network as preset_config
from rankspace.ranks.coordinate import GRID
from rankspace.ranks.space import Reading
from tests.worlds import space

CONTEXT = 64
PRESETS = pytest.mark.parametrize("preset", get_args(Preset))
SWITCHES: dict[str, dict[str, Any]] = {
    "length_term": {"length_term": True},
    "length_term alone": {"length_term": True, "query_key_norm": False},
    "rms": {"norm": "rms"},
    "tied": {"tied": True},
    "noise": {"noise_heads": 1, "rotary_bases": [31415.0, 3183.0]},
    "values": {"value_residual": True},
    "first": {"first_residual": True},
    "whole turns": {"rotary_whole": True},
    "input beta": {"gate_beta": "input"},
    "squared": {"gated": False, "squared": True},
    "gelu": {"gated": False},
    "experts": {"experts": 4, "active": 2},
    "ista": {"think": "ista", "gated": False},
    "alpha": {"think": "alpha", "gated": False},
    "last speaks": {"speak": "last"},
    "softmax speaks": {"speak": "softmax"},
    "soft_cap": {"soft_cap": 2.0},
    "supervise": {"supervise": 0.5},
    "noise of inputs": {"noise": 0.5},
    "document": {"memory": "held", "order": 2, "document": True},
    "lean": {"lean": True},
    "native": {"native": True},
    **{name: {"memory": name} for name in get_args(Memory)},
}
"""Every switch of the rank preset, by name."""

EVERY_SWITCH = pytest.mark.parametrize("name", SWITCHES)


def config(preset: Preset = "rank", width: int = 16, **switches: Any) -> NetworkConfig:
    """The preset over the small world, narrow and two blocks deep."""
    shape = Shape(
        vocabulary=space().vocabulary.size,
        context=CONTEXT,
        features=space().features.shape[1],
        places=space().places,
        rank_buckets=GRID.buckets,
    )
    small = {"width": width, "depth": 2, "heads": 2, "hidden": 24}
    return preset_config(preset, "tiny", shape, **(small | switches))


def born(preset: Preset = "rank", seed: int = 0, **switches: Any) -> Network:
    """A network before its first step."""
    torch.manual_seed(seed)
    made = config(preset, **switches)
    return Network(made, folder.features(made, space()))


def awake(preset: Preset = "rank", seed: int = 0, **switches: Any) -> Network:
    """A network whose every parameter is off its birth value, so that nothing is silent."""
    return stirred(born(preset, seed, **switches))


def stirred(network: Network) -> Network:
    """The same network with every parameter moved at random."""
    with torch.no_grad():
        for weight in network.parameters():
            weight.add_(torch.randn_like(weight) * 0.3)
    return network.eval().requires_grad_(requires_grad=False)


def inputs(readings: list[Reading]) -> Inputs:
    """Parts laid end to end, from time 0 on."""
    columns = [
        torch.from_numpy(np.concatenate([getattr(reading, name) for reading in readings])).long()
        for name in ("ids", "places", "buckets")
    ]
    symbols, places, buckets = (column[None] for column in columns)
    return Inputs(symbols, places, buckets, torch.arange(symbols.shape[1])[None])


def cut(whole: Inputs, start: int, stop: int) -> Inputs:
    """A stretch of time."""
    return Inputs(
        whole.symbols[:, start:stop],
        whole.places[:, start:stop],
        whole.buckets[:, start:stop],
        whole.times[:, start:stop],
    )

"""Presets: what differs between networks is data, not code.

| preset | what it is |
|---|---|
| rank | our formalisation (docs/theory.md, definition 4) |
| rank_moe | the same with four experts a block, two of them active, of half the width |
| gpt2 | the plain decoder of Radford et al. 2019 that any claim is measured against |
| prism | signal heads minus noise heads on one tied code, then one step of ISTA |
| crate | the same tied heads without noise, then two steps of ISTA with a decoder of its own |

The last three have no statistics, as they were published: no memory, one voice, no codec features.
prism follows arXiv 2601.15540 as read at second hand: the assembly and the sparse code are our
reconstruction. crate is CRATE-alpha, arXiv 2405.20299.
"""

import math
from typing import Any, Literal

from rankspace.config import parse
from rankspace.model.config import NetworkConfig, Shape

__all__ = ["PRESETS", "SIZES", "NetworkConfig", "Preset", "Shape", "Size", "network"]

Preset = Literal["rank", "gpt2", "prism", "crate", "rank_moe"]
Size = Literal["tiny", "small", "base"]

SIZES: dict[Size, tuple[int, int, int]] = {
    "tiny": (128, 4, 2),
    "small": (192, 5, 3),
    "base": (320, 8, 5),
}
"""Width, depth, heads."""

_PLAIN = {"gated": False, "query_key_norm": False, "all_blocks_speak": False, "prior": False}
_WHITE = _PLAIN | {"tied": True, "rotary_whole": True}

PRESETS: dict[Preset, dict[str, Any]] = {
    "rank": {},
    "rank_moe": {"experts": 4, "active": 2},
    "gpt2": _PLAIN | {"rotary": False},
    "prism": _WHITE | {"think": "ista", "rotary_bases": [1e4 * math.pi, 1e4 / math.pi]},
    "crate": _WHITE | {"think": "alpha"},
}
"""Switches that are not at their default."""


def network(preset: Preset, size: Size, shape: Shape, **switches: Any) -> NetworkConfig:
    """The config of a preset at a size, for data of this shape; `switches` go over all of it.

    Raises InvalidConfig naming the switch that does not fit the others.
    """
    width, depth, heads = SIZES[size]
    values: dict[str, Any] = {"width": width, "depth": depth, "heads": heads}
    values |= PRESETS[preset] | switches
    if preset == "prism":
        values.setdefault("noise_heads", values["heads"] // 2)
    values.setdefault("hidden", _hidden(values))
    fixed = {"vocabulary", "context"} if not values.get("prior", True) else None
    return parse(NetworkConfig, shape.model_dump(include=fixed) | values)


def _hidden(values: dict[str, Any]) -> int:
    """Width of the feed-forward layer."""
    width = int(values["width"])
    if values.get("think", "dense") == "ista":
        return 2 * width  # overcomplete by R = 2
    if not values.get("gated", True):
        return 4 * width
    # The gate's three matrices weigh what two of 4 D do; of all experts, two are at work.
    whole = 8 * width // 3 if not values.get("experts", 0) else 4 * width // 3
    return whole // 32 * 32

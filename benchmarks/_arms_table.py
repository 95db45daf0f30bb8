"""The arms of our own: presets with switches, fitted to one count of parameters.

An arm is a preset, switches over it, an optimiser, and optionally a memory of order n in place of
the product's pairs. What this version does not have yet is left out with a sentence, not an error.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, get_args

import torch

from benchmarks._text_data import Corpus
from rankspace.errors import InvalidConfig
from rankspace.model.network import Network
from rankspace.model.presets import NetworkConfig, Preset, Shape, network
from rankspace.ranks.coordinate import GRID
from rankspace.training.job import DECAY

TOLERANCE = 0.03
"""How far from the common count of parameters an arm may be."""


@dataclass(frozen=True, slots=True)
class Spec:
    """What makes an arm."""

    preset: str = "rank"
    switches: Mapping[str, Any] = field(default_factory=dict)
    recipe: str = ""
    """Preset whose optimiser and rates are used; its own if empty."""

    average: bool = True
    """What is measured is the moving average of the weights."""

    memory: str = ""
    """add, mix or stack in place of the product's memory, or empty for that."""

    order: int = 5
    floor: float = 0.0
    """Where g of `add` ends."""

    cross_fit: bool = True
    """Leave a document out of its own prior."""

    loud: bool = False
    """Matrices that write into the stream are small at birth in place of zero."""

    decay: float = DECAY
    """Share of the steps over which rates fall to zero."""

    @property
    def varied(self) -> bool:
        """Whether it is begun or held otherwise than its preset."""
        return self.loud or "hold" in self.switches


HELD: dict[str, Any] = {"memory": "held", "order": 5, "document": True}
NOISE: dict[str, Any] = {"noise": 0.1, "dropout": 0.2}
NATIVE: dict[str, Any] = {"native": True}
TEXT = HELD | NOISE | NATIVE
"""What `rank` has switched on here: texts are few and read often; what one says it says again."""


def _rank(**switches: Any) -> Spec:
    """With rates that do not fall: the average of the weights is better than their end."""
    return Spec(switches=TEXT | switches, decay=0.0)


def _pairs(**switches: Any) -> Spec:
    """With the memory of pairs that the preset has by default."""
    return Spec(switches=switches)


SPECS: dict[str, Spec] = {
    "gpt2": Spec("gpt2", average=False),
    "gpt2+held": Spec("gpt2", HELD, average=False),
    "gpt2+noise": Spec("gpt2", NOISE, average=False),
    "gpt2+average": Spec("gpt2", decay=0.0),
    "prism": Spec("prism", average=False),
    "prism-noise": Spec("prism", {"noise_end": 0.0, "noise_birth": 0.0}, average=False),
    "prism-untied": Spec("prism", {"tied": False}, average=False),
    "prism-ratio-10": Spec("prism", {"rotary_bases": [1e4, 1e3]}, average=False),
    "prism-one-base": Spec("prism", {"rotary_bases": [1e4]}, average=False),
    "crate": Spec("crate", average=False),
    "rank": _rank(),
    "rank_moe": Spec("rank_moe", TEXT, decay=0.0),
    "rank-speak": _rank(all_blocks_speak=False),
    "rank-gate": _rank(gated=False),
    "rank-beta": _rank(query_key_norm=False),
    "rank-rotary": _rank(rotary=False),
    "rank-coordinate": _rank(rank_buckets=0),
    "rank-noise": Spec(switches=HELD | NATIVE, decay=0.0),
    "rank-order": _rank(order=2),
    "rank-document": _rank(document=False),
    "rank-held": _pairs(),
    "rank-prior": _pairs(prior=False),
    "rank-muon": Spec(switches=TEXT, recipe="gpt2", decay=0.0),
    "rank-average": Spec(switches=TEXT, average=False, decay=0.0),
    "rank-dropout": _rank(dropout=0.0),
    "rank-zero": Spec(switches=TEXT, loud=True, decay=0.0),
    "rank+full": _pairs(memory="full"),
    "rank+scalar": _pairs(memory="scalar"),
    "rank+counts": _pairs(memory="counts"),
    "rank+feature": _pairs(memory="feature"),
    "rank+mixture": _pairs(memory="mixture"),
    "rank+target": _pairs(memory="target"),
    "rank+add5": Spec(memory="add"),
    "rank+add5-kept": Spec(memory="add", floor=1.0),
    "rank+mix5": Spec(memory="mix"),
    "rank+mix5-leaky": Spec(memory="mix", cross_fit=False),
    "rank+stack5": Spec(memory="stack"),
    "rank+supervise": _rank(supervise=0.3),
    "rank+softmax": _rank(speak="softmax"),
    "rank+input": _rank(gate_beta="input"),
    "rank+length": _rank(length_term=True),
    "rank+values": _rank(value_residual=True),
    "rank+first": _rank(first_residual=True),
    "rank+squared": _rank(gated=False, squared=True),
    "rank+rms": _rank(norm="rms"),
    "rank+cap": _rank(soft_cap=20.0),
    "rank+pmi": _rank(birth="pmi"),
    "rank+heads": _rank(hold={"attention": 0.6}),
    "rank+gates": _rank(hold={"gate": 0.7}),
    "rank+output": _rank(hold={"output": 0.5}),
    "rank+softmax+pmi": _rank(speak="softmax", birth="pmi"),
    "rank+decay": Spec(switches=TEXT),
    "rank_moe+router": Spec("rank_moe", TEXT | {"hold": {"router": 0.8}}, decay=0.0),
}
"""A minus takes an element out of `rank`, a plus puts one in; forms of the memory replace it.

Betas are held near the mean entropies that the gradient finds: heads 0.6 of the largest, gates 0.7,
the network's odds 0.5. For routers 0.8 is a guess.
"""


def missing(name: str) -> str:
    """Why this version has no such arm; empty if it has."""
    spec = SPECS[name]
    if spec.preset not in get_args(Preset):
        return f"no preset {spec.preset}"
    unknown = set(spec.switches) - set(NetworkConfig.model_fields)
    return f"no switch {', '.join(sorted(unknown))}" if unknown else ""


def shaped(spec: Spec, corpus: Corpus, context: int, parameters: int, **size: Any) -> NetworkConfig:
    """The config of an arm, its hidden width chosen so that it has this many parameters."""
    shape = Shape(
        vocabulary=corpus.vocabulary.size, context=context, features=0, places=1,
        rank_buckets=GRID.buckets,
    )  # fmt: skip
    preset: Any = spec.preset

    def made(hidden: int) -> NetworkConfig:
        heads = 4 if preset == "prism" else 3  # as many of signal as of noise
        shape_of = {"depth": 6, "width": 192, "heads": heads} | size
        switches = shape_of | {"hidden": hidden} | dict(spec.switches)
        return network(preset, "small", shape, **switches)

    low, high = counted(made(64)), counted(made(128))
    hidden = 64 + (parameters - low) / max(1.0, (high - low) / 64)
    for grain in (32, 8, 1):  # round numbers make faster products
        found = made(max(grain, round(hidden / grain) * grain))
        if abs(counted(found) / parameters - 1) < TOLERANCE / 3:
            return found
    raise InvalidConfig(f"{counted(made(1))} parameters at least cannot be {parameters}")


def counted(config: NetworkConfig) -> int:
    """Parameters of a network, without making it."""
    with torch.device("meta"):
        return sum(weight.numel() for weight in Network(config).parameters())

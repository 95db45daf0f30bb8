"""Presets are data: both say the same of the data, weigh about the same, and are refused as one."""

from typing import Any

import pytest
import torch

from rankspace.config import parse
from rankspace.errors import InvalidConfig
from rankspace.model.network import Network
from rankspace.model.presets import SIZES, NetworkConfig, Shape, Size, network
from rankspace.model.scene import bases
from rankspace.training.job import JobConfig

SHAPE = Shape(vocabulary=4000, context=256, features=64, places=24, rank_buckets=32)


def weight(config: NetworkConfig) -> int:
    with torch.device("meta"):
        return sum(parameter.numel() for parameter in Network(config).parameters())


@pytest.mark.parametrize("size", SIZES)
def test_both_presets_weigh_about_the_same(size: Size) -> None:
    ours, plain = (weight(network(preset, size, SHAPE)) for preset in ("rank", "gpt2"))
    assert 0.75 < ours / plain < 1.25
    ours, plain = (
        weight(network(preset, size, SHAPE)) - 4000 * SIZES[size][0] for preset in ("rank", "gpt2")
    )
    assert 0.75 < ours / plain < 1.25


def test_sizes_grow() -> None:
    weights = [weight(network("rank", size, SHAPE)) for size in ("tiny", "small", "base")]
    assert weights == sorted(weights)
    assert weights[-1] > 3 * weights[0]


def test_the_plain_preset_has_nothing_of_ours() -> None:
    plain = network("gpt2", "small", SHAPE)
    flags = plain.rotary, plain.gated, plain.query_key_norm, plain.all_blocks_speak, plain.prior
    assert not any(flags)
    assert (plain.features, plain.places, plain.rank_buckets) == (0, 1, 0)
    names = {name.split(".")[0] for name, _ in Network(plain).named_parameters()}
    assert names == {"embed", "position", "blocks", "norm"}


WRONG: list[tuple[str, dict[str, Any], str]] = [
    ("heads", {"heads": 3}, "width 128 must be a multiple of four times the heads, 3"),
    ("noise_heads", {"noise_heads": 2}, "must be fewer than the heads, 2"),
    ("rotary_bases", {"rotary_bases": [1e4, 1e3]}, "a second base is for noise heads"),
    ("rotary_bases", {"rotary_bases": [1.0]}, "must be finite and above 1"),
    ("think", {"think": "ista"}, "ista has no gate; set gated to false"),
    ("squared", {"squared": True}, "needs gated false and think dense"),
    ("gate_beta", {"gate_beta": "input", "gated": False}, "a beta of the input needs gated true"),
    ("experts", {"experts": 1}, "must be 0 or at least 2"),
    ("experts", {"experts": 4, "gated": False}, "needs gated true and gate_beta channel"),
    ("active", {"experts": 2, "active": 3}, "must be at most the experts, 2"),
    ("speak", {"speak": "last", "all_blocks_speak": False}, "needs all_blocks_speak true"),
    ("memory", {"memory": "full", "prior": False}, "needs prior true"),
    ("memory", {"memory": "feature", "rank_buckets": 0}, "needs rank_buckets above 0"),
    ("hold", {"hold": {"router": 0.5}}, "router needs experts"),
    ("hold", {"hold": {"gate": 1.5}}, "gate must be held at a share between 0 and 1, not 1.5"),
    ("wings", {"wings": 2}, "extra inputs are not permitted"),
]


@pytest.mark.parametrize(("field", "switches", "message"), WRONG)
def test_switches_that_do_not_go_together_are_refused_by_name(
    field: str, switches: dict[str, Any], message: str
) -> None:
    with pytest.raises(InvalidConfig, match=message) as caught:
        network("rank", "tiny", SHAPE, **switches)
    assert caught.value.field == field
    with pytest.raises(InvalidConfig, match=message) as caught:  # before any job is begun
        parse(JobConfig, {"streams": ["a"], "size": "tiny", "switches": switches}, "config")
    if field != "memory" or "prior" in switches:
        assert caught.value.field == f"switches.{field}"


def test_a_job_takes_switches_as_json_gives_them() -> None:
    switches = {"experts": 4, "hold": {"router": 0.5}, "rotary_bases": [5000.0], "soft_cap": 15}
    values = {"streams": ["a"], "preset": "rank_moe", "switches": switches}
    found = parse(JobConfig, values)
    assert parse(JobConfig, found.model_dump(mode="json")) == found
    made = network(found.preset, found.size, SHAPE, **found.switches)
    assert (made.experts, made.soft_cap, made.rotary_bases) == (4, 15.0, (5000.0,))


def test_the_white_presets_are_tied_and_turn_at_two_speeds() -> None:
    prism, crate = (network(name, "base", SHAPE) for name in ("prism", "crate"))
    assert prism.rotary_bases == pytest.approx((31415.9265, 3183.0989))
    assert bases(prism) == (prism.rotary_bases[0],) * 3 + (prism.rotary_bases[1],) * 2
    assert prism.hidden == 2 * prism.width
    assert crate.hidden == 4 * crate.width
    assert (prism.tied, prism.noise_heads, crate.tied, crate.noise_heads) == (True, 2, True, 0)
    assert network("prism", "base", SHAPE, heads=10).noise_heads == 5


def test_heads_must_divide_the_width_into_fours() -> None:
    values = network("rank", "tiny", SHAPE).model_dump()
    with pytest.raises(InvalidConfig, match="width 20 must be a multiple of four times the heads"):
        parse(NetworkConfig, values | {"width": 20, "heads": 2})

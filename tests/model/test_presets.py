"""Presets are data: both say the same of the data, weigh about the same, and are refused as one."""

import pytest
import torch

from rankspace.config import parse
from rankspace.errors import InvalidConfig
from rankspace.model.network import Network
from rankspace.model.presets import SIZES, NetworkConfig, Shape, Size, network

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


def test_heads_must_divide_the_width_into_fours() -> None:
    values = network("rank", "tiny", SHAPE).model_dump()
    with pytest.raises(InvalidConfig, match="width 20 must be a multiple of four times the heads"):
        parse(NetworkConfig, values | {"width": 20, "heads": 2})

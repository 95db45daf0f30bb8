"""A look inside sees what the network does, and leaves it as it was."""

import math

import numpy as np
import pytest
import torch

from rankspace.model import held
from rankspace.model.config import Kind
from rankspace.model.network import Network
from rankspace.model.presets import Preset
from rankspace.model.probe import look
from rankspace.model.scene import scene
from tests.model.networks import EVERY_SWITCH, PRESETS, SWITCHES, awake, born, inputs
from tests.worlds import message, space

WHOLE = inputs(
    [space().read("text", "", message("text", 20, np.random.default_rng(seed))) for seed in (0, 1)]
)
LENGTH = WHOLE.symbols.shape[1]


def seen_by(network: Network) -> None:
    for glimpse, state in zip(look(network, WHOLE), network.states(WHOLE), strict=True):
        torch.testing.assert_close(glimpse.state, state, rtol=1e-4, atol=1e-5)
        ones = torch.ones(glimpse.law.shape[:3])
        torch.testing.assert_close(glimpse.law.sum(-1), ones, rtol=1e-4, atol=1e-5)
        assert not glimpse.law.triu(1).any()


@PRESETS
def test_what_is_seen_is_what_every_preset_does(preset: Preset) -> None:
    seen_by(awake(preset))


@EVERY_SWITCH
def test_what_is_seen_is_what_every_switch_does(name: str) -> None:
    seen_by(awake(**SWITCHES[name]))


@PRESETS
def test_a_law_times_the_values_is_what_attention_says(preset: Preset) -> None:
    network = awake(preset)
    layer, x = network.layers[0].attention, torch.randn(1, LENGTH, 16)
    told = scene(network.config, WHOLE.times, None)
    values = layer.qkv(x).chunk(1 if network.config.tied else 3, dim=-1)[-1]
    mixed = layer.law(x, told) @ values.unflatten(-1, (2, -1)).transpose(1, 2)
    if network.config.noise_heads:
        mixed[:, layer.quiet :] *= -layer.noise
    oracle = layer.out(mixed.transpose(1, 2).flatten(2))
    torch.testing.assert_close(layer(x, told), oracle, rtol=1e-3, atol=1e-4)


def test_a_look_changes_nothing() -> None:
    network = born("rank_moe").train()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    look(network, WHOLE)
    assert network.training
    assert all(torch.equal(before[name], value) for name, value in network.state_dict().items())
    assert not network.layers[0].feedforward.get_buffer("load").any()


def odds(network: Network) -> list[torch.Tensor]:
    """Logits over an alphabet of 30, which the network's beta scales."""
    assert network.log_beta is not None
    random = torch.Generator().manual_seed(1)
    return [network.log_beta.detach().exp() * 3 * torch.randn(40, 30, generator=random)]


@pytest.mark.parametrize("kind", ["attention", "gate", "router", "output"])
@pytest.mark.parametrize("shock", [-1.0, 1.5])
def test_the_controller_arrives_at_the_entropy_of_every_kind(kind: Kind, shock: float) -> None:
    network = awake("rank_moe" if kind == "router" else "rank", hold={kind: 0.6})
    with torch.no_grad():
        for log_beta in network.held(kind):
            log_beta.fill_(shock)
    for _ in range(100):
        held.control(held.measure(network, WHOLE, None, odds(network)))
    found = held.measure(network, WHOLE, None, odds(network))
    assert len(found) == len(network.held(kind))
    for each in found:
        assert float((each.entropy - each.target).abs().max()) < 0.02 * math.log(each.outcomes)


def test_each_channel_head_or_block_is_held_by_itself() -> None:
    network = awake(hold={"attention": 0.5, "gate": 0.8})
    shapes = [tuple(each.entropy.shape) for each in held.measure(network, WHOLE, None, [])]
    assert shapes == [(2,), (2,), (24,), (24,)]


def test_a_first_symbol_that_sees_itself_only_is_not_asked() -> None:
    network = awake(hold={"attention": 0.5})
    found = held.measure(network, WHOLE, None, [])[0]
    seen = torch.arange(2, LENGTH + 1).float()
    assert found.target == pytest.approx(0.5 * float(seen.log().mean()), rel=1e-4)
    assert found.outcomes == LENGTH

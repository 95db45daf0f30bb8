"""Passes in C++: the same outcome and the same gradients as the plain form, where they are used."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from rankspace.model import trunk
from rankspace.model.block import Block
from rankspace.model.native import passes
from rankspace.model.network import Inputs, Network
from tests.model.networks import SWITCHES, born

HERE = pytest.mark.skipif(passes() is None, reason="no C++ compiler, or no AVX-512")
SHAPES = pytest.mark.parametrize(("time", "width"), [(21, 16), (32, 64)])
"""Rows too odd for tiles, and rows that are not."""

TILED = pytest.mark.skipif(not getattr(passes(), "tiles", False), reason="no tiles")
FIT = ["softmax speaks", "last speaks", "whole turns", "feature", "held"]
"""Switches under which passes are still used."""

ELSEWHERE = {"memory", "order", "document", "noise", "lean", "soft_cap", "birth"}
"""Settings that the blocks know nothing of."""


def given_rows(network: Network, seed: int, time: int = 21) -> tuple[Inputs, Tensor]:
    """Rows at random, each symbol seeing itself and some of what came before."""
    random = torch.Generator().manual_seed(seed)
    config, shape = network.config, (3, time)

    def drawn(below: int) -> Tensor:
        return torch.randint(below, shape, generator=random)

    inputs = Inputs(
        drawn(config.vocabulary), drawn(config.places), drawn(config.rank_buckets), drawn(60)
    )
    mask = torch.rand(3, 1, time, time, generator=random) < 0.7
    return inputs, (mask | torch.eye(time, dtype=torch.bool)).tril()


def stirred(seed: int, **switches: Any) -> Network:
    """A network that has learnt something, of a bfloat16's precision in its weights."""
    network = born(seed=seed, **switches)
    with torch.no_grad():
        for weight in network.parameters():
            weight.add_(torch.randn_like(weight) * (0.2 if weight.ndim > 1 else 0.1))
            weight.copy_(weight.bfloat16())
    return network


def learnt(network: Network, inputs: Inputs, mask: Tensor, fast: bool) -> tuple[Tensor, Tensor]:
    """What is said, and the gradient of all weights end to end."""
    network.zero_grad()
    with torch.autocast("cpu", torch.bfloat16, enabled=fast):
        said = trunk.speak(network, inputs, mask).float()
    pull = torch.randn(said.shape, generator=torch.Generator().manual_seed(1))
    (said * pull).sum().backward()
    grads = [torch.zeros_like(w) if w.grad is None else w.grad for w in network.parameters()]
    return said.detach(), torch.cat([grad.flatten() for grad in grads])


def off(told: Tensor, truth: Tensor) -> float:
    return float((told - truth).norm() / truth.norm())


def worse(network: Network, seed: int, time: int) -> float:
    """How much farther from the truth passes are than the plain form, at the worse of two."""
    inputs, mask = given_rows(network, seed, time)
    truth = learnt(network, inputs, mask, fast=False)
    plain = learnt(network, inputs, mask, fast=True)
    network.config = network.config.model_copy(update={"native": True})
    told = learnt(network, inputs, mask, fast=True)
    pairs = zip(told, plain, truth, strict=True)
    return max(off(one, exactly) / (off(other, exactly) + 1e-3) for one, other, exactly in pairs)


@HERE
@settings(max_examples=6)
@given(
    seed=st.integers(0, 1000),
    name=st.sampled_from(["", *FIT]),
    shape=st.sampled_from([(21, 16), (32, 64), (64, 128)]),
)
def test_passes_are_as_near_the_truth_as_the_plain_form(
    seed: int, name: str, shape: tuple[int, int]
) -> None:
    time, width = shape  # heads of 8, 32 and 64: those two on tiles, where there are any
    switches = SWITCHES.get(name, {}) | {"width": width}
    found = [worse(stirred(seed + more, **switches), seed, time) for more in range(5)]
    assert sorted(found)[2] < 1.5, found


@TILED
@pytest.mark.parametrize("time", [32, 64, 96])
def test_on_tiles_the_same_is_learnt(time: int, monkeypatch: pytest.MonkeyPatch) -> None:
    network = stirred(0, native=True, width=64)
    inputs, mask = given_rows(network, 0, time)
    told = learnt(network, inputs, mask, fast=True)
    monkeypatch.setattr(passes(), "tiles", False)
    for one, other in zip(told, learnt(network, inputs, mask, fast=True), strict=True):
        assert off(one, other) < 0.02


@HERE
def test_every_weight_gets_its_gradient() -> None:
    network = stirred(0, native=True)
    inputs, mask = given_rows(network, 0)
    told = {}
    for fast in (False, True):
        learnt(network, inputs, mask, fast)
        told[fast] = {n: w.grad for n, w in network.named_parameters() if w.grad is not None}
    assert told[True].keys() == told[False].keys()
    for name, grad in told[True].items():
        assert off(grad, told[False][name]) < 0.1, name


@HERE
@SHAPES
def test_what_may_not_be_seen_changes_nothing(time: int, width: int) -> None:
    network = stirred(0, native=True, width=width)
    inputs, mask = given_rows(network, 0, time)
    with torch.autocast("cpu", torch.bfloat16):
        before = trunk.speak(network, inputs, mask).detach()
        inputs.symbols[:, 13] = (inputs.symbols[:, 13] + 1) % network.config.vocabulary
        after = trunk.speak(network, inputs, mask).detach()
    assert torch.equal(before[:, :13], after[:, :13])
    seen = mask[:, 0, :, 13]
    assert (before != after).any(-1)[seen].all()


@HERE
@SHAPES
def test_the_same_is_said_every_time_bit_for_bit(time: int, width: int) -> None:
    network = stirred(0, native=True, width=width)
    inputs, mask = given_rows(network, 0, time)
    one, two = (learnt(network, inputs, mask, fast=True) for _ in range(2))
    assert all(torch.equal(a, b) for a, b in zip(one, two, strict=True))


@HERE
@pytest.mark.parametrize("name", sorted(SWITCHES.keys() - {*FIT, "native"}))
def test_where_passes_do_not_fit_the_plain_form_is_used(name: str) -> None:
    network = stirred(0, **SWITCHES[name], native=True)
    fits = trunk.ready(network.config, 8)
    assert fits is None  # nothing learns outside of autocast
    with torch.autocast("cpu", torch.bfloat16):
        fits = trunk.ready(network.config, 8)
        same = set(SWITCHES[name]) <= ELSEWHERE
        assert (fits is not None) == same
        with torch.no_grad():
            assert trunk.ready(network.config, 8) is None
        assert trunk.ready(network.config, trunk.ROW_MAX + 1) is None


def thinned(seed: int, drop: float) -> Callable[[Tensor], Tensor]:
    """What passes drop, by murmur3's finish of each place."""

    def drops(x: Tensor) -> Tensor:
        h = (torch.arange(x.numel()) * 0x9E3779B9 % 2**32) ^ seed
        h = (h ^ (h >> 16)) * 0x85EBCA6B % 2**32
        h = (h ^ (h >> 13)) * 0xC2B2AE35 % 2**32
        return x * ((h ^ (h >> 16)) >= drop * 2**32).view_as(x) / (1 - drop)

    return drops


def dropping(block: Block, turns: list[Callable[[Tensor], Tensor]]) -> None:
    """Let a block drop what these do, one call after the other."""

    def drop(x: Tensor) -> Tensor:
        return turns.pop(0)(x)

    block._drop = drop  # type: ignore[method-assign]


@HERE
def test_what_is_dropped_is_the_same_share_forward_and_backward() -> None:
    network, drop = stirred(0, native=True, dropout=0.25), 0.25
    inputs, mask = given_rows(network, 0)
    torch.manual_seed(7)
    told = learnt(network, inputs, mask, fast=True)
    torch.manual_seed(7)
    seeds = torch.randint(1 << 32, (4,)).tolist()
    kept = float((thinned(seeds[0], drop)(torch.ones(100, 100)) > 0).float().mean())
    assert kept == pytest.approx(1 - drop, abs=0.02)
    network.config = network.config.model_copy(update={"native": False})
    for layer, block in enumerate(network.layers):
        dropping(block, [thinned(seed, drop) for seed in seeds[2 * layer : 2 * layer + 2]] * 2)
    plain = learnt(network, inputs, mask, fast=True)
    truth = learnt(network, inputs, mask, fast=False)
    for one, other, exactly in zip(told, plain, truth, strict=True):
        assert off(one, exactly) < 1.5 * off(other, exactly) + 2e-3


@HERE
@SHAPES
def test_a_weight_that_is_no_number_is_not_hidden(time: int, width: int) -> None:
    network = stirred(0, native=True, width=width)
    inputs, mask = given_rows(network, 0, time)
    for name in ("attention.qkv", "attention.out", "feedforward.inner", "feedforward.out"):
        weight = network.layers[0].get_parameter(f"{name}.weight")
        kept = weight.detach().clone()
        with torch.no_grad():
            weight.fill_(torch.nan)
        assert not learnt(network, inputs, mask, fast=True)[0].isfinite().any(), name
        with torch.no_grad():
            weight.copy_(kept)

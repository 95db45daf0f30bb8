"""Rates rise, hold and fall; the average follows; each weight is moved by one optimiser."""

from itertools import pairwise
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from rankspace.errors import Diverged
from rankspace.model.presets import Preset
from rankspace.training import checkpoint
from rankspace.training.checkpoint import Progress
from rankspace.training.job import DECAY
from rankspace.training.optimizer import CLIP, WARM_UP, Average, Optimizer, factor, shapes
from tests.model.networks import PRESETS, awake, born


@given(st.integers(1, 5000))
def test_rates_rise_hold_and_fall_to_nothing(steps: int) -> None:
    rates = [factor(step, steps) for step in range(steps)]
    assert all(0 < rate <= 1 for rate in rates)
    assert rates[0] <= 1 / WARM_UP
    assert factor(steps, steps) == 0
    top = rates.index(max(rates))
    assert rates[: top + 1] == sorted(rates[: top + 1])
    assert rates[top:] == sorted(rates[top:], reverse=True)


def test_rates_hold_between_the_rise_and_the_fall() -> None:
    steps = 1000
    assert {factor(step, steps) for step in range(WARM_UP, int(steps * (1 - DECAY)))} == {1.0}
    assert factor(steps - 1, steps) == pytest.approx(1 / (steps * DECAY))
    assert {factor(step, steps, 0.0) for step in range(WARM_UP, steps)} == {1.0}
    assert factor(steps - 1, steps, 1.0) == pytest.approx(1 / steps)


@PRESETS
def test_every_weight_is_moved_by_exactly_one_optimiser(preset: Preset) -> None:
    network = born(preset)
    optimizer = Optimizer(network, preset, 1.0)
    moved = [
        id(weight) for part in optimizer.parts for g in part.param_groups for weight in g["params"]
    ]
    assert sorted(moved) == sorted(map(id, network.parameters()))
    assert len(optimizer.parts) == (2 if network.config.prior else 1)
    assert shapes(list(network.parameters())) == sum(p.numel() for p in network.parameters())


@PRESETS
def test_a_step_moves_by_its_rate_and_forgets_its_gradient(preset: Preset) -> None:
    def moved(factor: float, scale: float) -> list[torch.Tensor]:
        network = born(preset)
        before = [weight.clone() for weight in network.parameters()]
        optimizer = Optimizer(network, preset, scale)
        for weight in network.parameters():
            weight.grad = torch.ones_like(weight)
        norm = optimizer.step(factor)
        assert norm > CLIP
        assert all(weight.grad is None for weight in network.parameters())
        return [
            weight.detach() - old for weight, old in zip(network.parameters(), before, strict=True)
        ]

    full, half, still = moved(1.0, 1.0), moved(1.0, 0.5), moved(0.0, 1.0)
    assert not any(delta.any() for delta in still)
    assert all(delta.any() for delta in full)
    for one, two, three in zip(full, half, moved(0.5, 1.0), strict=True):
        torch.testing.assert_close(two, one / 2, rtol=1e-2, atol=1e-6)
        assert torch.equal(two, three)


def test_swapping_twice_is_the_identity() -> None:
    network = awake()
    average = Average(network)
    with torch.no_grad():
        for weight in network.parameters():
            weight.add_(1)
    average.update(4)
    live = [weight.clone() for weight in network.parameters()]
    means = [weight.clone() for weight in average.weights]
    average.swap()
    assert all(map(torch.equal, network.parameters(), means))
    average.swap()
    assert all(map(torch.equal, network.parameters(), live))
    assert all(map(torch.equal, average.weights, means))


def test_the_average_is_the_last_weights_at_first_and_slower_later() -> None:
    network = torch.nn.Linear(1, 1, bias=False)
    average = Average(network, horizon=4.0)
    paces = []
    for step in range(20):
        with torch.no_grad():
            before = float(average.weights[0])
            network.weight.fill_(before + 1)
        average.update(step)
        paces.append(float(average.weights[0]) - before)
    assert paces[0] == pytest.approx(1)
    assert all(later <= earlier + 1e-5 for earlier, later in pairwise(paces))
    assert paces[-1] == pytest.approx(1 / 4, rel=1e-3)


@pytest.mark.parametrize("size", [0.001, 3.0])
def test_compiled_passes_clip_and_move_as_without_them(size: float) -> None:
    told = []
    for native in (False, True):
        network = born(native=native)
        optimizer = Optimizer(network, "rank", 1.0)
        random = torch.Generator().manual_seed(0)
        for weight in network.parameters():
            weight.grad = size * torch.randn(weight.shape, generator=random)
        norm = optimizer.step(1.0)
        told.append(
            (norm, torch.cat([weight.detach().flatten() for weight in network.parameters()]))
        )
    (norm, weights), (other, others) = told
    assert other == pytest.approx(norm)
    assert torch.allclose(weights, others, atol=2e-3)


def test_compiled_passes_move_nothing_along_what_is_no_number() -> None:
    network = born(native=True)
    optimizer = Optimizer(network, "rank", 1.0)
    before = [weight.clone() for weight in network.parameters()]
    for weight in network.parameters():
        weight.grad = torch.full_like(weight, torch.nan)
    with pytest.raises(Diverged):
        optimizer.step(1.0)
    assert all(torch.equal(a, b) for a, b in zip(before, network.parameters(), strict=True))


def test_what_was_noted_comes_back_whole(tmp_path: Path) -> None:
    """The average, and what experts have learnt beside their weights; a checkpoint keeps it too."""
    network = born("rank_moe", 1)
    bias = network.get_buffer("blocks.1.feedforward.bias")
    average, optimizer = Average(network), Optimizer(network, "rank_moe", 1.0)

    def become(number: float) -> None:
        for mean in average.weights:
            mean.fill_(number)
        bias.fill_(-number)

    become(2.0)
    average.note()
    become(3.0)
    checkpoint.write(tmp_path, Progress(step=1), network, optimizer, average)
    average.best = {}
    checkpoint.read(tmp_path, network, optimizer, average)
    assert {float(mean.max()) for mean in average.weights} == {3.0}
    average.recall()
    assert {float(mean.max()) for mean in average.weights} == {2.0}
    assert {float(mean.min()) for mean in average.weights} == {2.0}
    assert set(bias.tolist()) == {-2.0}

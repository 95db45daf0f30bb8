"""A checkpoint brings back every bit: weights, moments, average, balance; damage is named."""

import math
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from rankspace.errors import Corrupt, Diverged, WrongLayout
from rankspace.model.network import Network
from rankspace.model.presets import Preset
from rankspace.training import checkpoint
from rankspace.training.balance import Balance
from rankspace.training.checkpoint import Progress
from rankspace.training.optimizer import Average, Optimizer
from rankspace.training.work import Work
from tests.model.networks import PRESETS, born
from tests.training.corpus import CONFIG, row
from tests.worlds import space

Parts = tuple[Network, Optimizer, Average]


def learner(preset: Preset, seed: int, **switches: Any) -> Parts:
    network = born(preset, seed, **switches)
    return network, Optimizer(network, preset, 1.0), Average(network)


def learn(parts: Parts, first: int, steps: int) -> None:
    """Steps along gradients that follow from the step alone."""
    network, optimizer, average = parts
    for step in range(first, first + steps):
        random = torch.Generator().manual_seed(step)
        for weight in network.parameters():
            weight.grad = torch.randn(weight.shape, generator=random)
        optimizer.step(0.5)
        average.update(step)


def test_what_a_network_remembers_beside_its_weights_comes_back(tmp_path: Path) -> None:
    old, new = learner("rank_moe", 1), learner("rank_moe", 2)
    name = "blocks.1.feedforward.bias"
    old[0].get_buffer(name).copy_(torch.tensor([0.1, -0.2, 0.3, 0.0]))
    checkpoint.write(tmp_path, Progress(step=1), *old)
    checkpoint.read(tmp_path, *new)
    assert torch.equal(new[0].get_buffer(name), old[0].get_buffer(name))


@pytest.mark.parametrize(
    ("switches", "message"),
    [
        ({"hidden": 48}, "blocks.0.feedforward.inner.weight and 5 more of another shape"),
        ({"first_residual": True}, "blocks.0.blend and 1 more missing"),
        ({"query_key_norm": False}, "blocks.0.attention.log_beta and 1 more without a place"),
    ],
)
def test_a_checkpoint_of_another_layout_says_so_and_what_to_do(
    switches: dict[str, Any], message: str, tmp_path: Path
) -> None:
    checkpoint.write(tmp_path, Progress(step=7), *learner("rank", 1))
    other = learner("rank", 2, **switches)
    before = [weight.clone() for weight in other[0].parameters()]
    told = f"step 7 is of another network: weight/{message}; submit the job with .*convert.carry"
    with pytest.raises(WrongLayout, match=told):
        checkpoint.read(tmp_path, *other)
    assert all(map(torch.equal, before, other[0].parameters()))


def test_a_run_that_diverged_keeps_its_last_good_checkpoint(tmp_path: Path) -> None:
    """And goes on from there, as if nothing had happened, once the reason is gone."""
    job = CONFIG.model_copy(update={"steps": 12, "checkpoint_every": 3, "evaluate_every": 1})
    rows = [row(seed, (("text", "en"),)) for seed in range(6)]

    def begun() -> Work:
        torch.manual_seed(0)
        return Work(job, space(), [rows], [rows[:2]], {})

    whole = begun()
    (tmp_path / "whole").mkdir()
    list(whole.train(tmp_path / "whole", lambda: "run", 0, 1))
    work, folder = begun(), tmp_path / "cut"
    folder.mkdir()
    events = work.train(folder, lambda: "run", 0, 1)
    while next(events).step < 7:
        pass
    held = {path.name: path.read_bytes() for path in folder.iterdir()}
    with torch.no_grad():
        work.learner.network.get_parameter("mouth.weight")[0, 0] = math.inf
    with pytest.raises(Diverged, match=r"loss of a is no number in step \d+: the weights"):
        list(events)
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == held
    again = begun()
    first, *_ = again.train(folder, lambda: "run", 0, 1)
    assert first.step == 7
    pairs = zip(again.learner.network.parameters(), whole.learner.network.parameters(), strict=True)
    assert all(torch.equal(*pair) for pair in pairs)


def bits(parts: Parts) -> list[Tensor]:
    network, optimizer, average = parts
    moments = [
        value
        for part in optimizer.parts
        for _, state in sorted(part.state_dict()["state"].items())
        for _, value in sorted(state.items())
    ]
    return [*network.parameters(), *average.weights, *moments]


@PRESETS
def test_what_was_written_is_read_bit_for_bit(preset: Preset, tmp_path: Path) -> None:
    old, new = learner(preset, 1), learner(preset, 2)
    learn(old, 0, 3)
    balance = Balance(("a", "b"))
    balance.settle(balance.turn(), [1.0, 2.0])
    progress = Progress(step=3, balance=balance.state, best=1.5, worse=2, metrics={"x": 0.1})
    checkpoint.write(tmp_path, progress, *old)
    found = checkpoint.read(tmp_path, *new)
    assert found is not None
    assert found.model_copy(update={"tensors": ""}) == progress
    assert len(bits(old)) == len(bits(new))
    assert all(map(torch.equal, bits(old), bits(new)))


@PRESETS
def test_going_on_from_a_checkpoint_is_going_on(preset: Preset, tmp_path: Path) -> None:
    old, new = learner(preset, 1), learner(preset, 2)
    learn(old, 0, 3)
    checkpoint.write(tmp_path, Progress(step=3), *old)
    checkpoint.read(tmp_path, *new)
    learn(old, 3, 3)
    learn(new, 3, 3)
    assert all(map(torch.equal, bits(old), bits(new)))


def test_a_new_checkpoint_replaces_the_one_before(tmp_path: Path) -> None:
    parts = learner("rank", 1)
    for step in (1, 2):
        learn(parts, step, 1)
        checkpoint.write(tmp_path, Progress(step=step), *parts)
    assert len(list(tmp_path.iterdir())) == 2
    found = checkpoint.read(tmp_path, *parts)
    assert found is not None
    assert found.step == 2


def test_no_checkpoint_is_none(tmp_path: Path) -> None:
    assert checkpoint.read(tmp_path, *learner("rank", 1)) is None


@pytest.mark.parametrize("name", [checkpoint.STATE, checkpoint.TENSORS.format("*")])
@pytest.mark.parametrize("how", ["cut", "changed", "gone"])
def test_damage_is_named(name: str, how: str, tmp_path: Path) -> None:
    parts = learner("rank", 1)
    checkpoint.write(tmp_path, Progress(step=1), *parts)
    (path,) = tmp_path.glob(name)
    data = path.read_bytes()
    if how == "cut":
        path.write_bytes(data[: len(data) // 2])
    elif how == "changed":
        path.write_bytes(data[:-3] + b"\0\0\0")
    elif name == checkpoint.STATE:
        return  # then there is no checkpoint
    else:
        path.unlink()
    with pytest.raises(Corrupt):
        checkpoint.read(tmp_path, *parts)

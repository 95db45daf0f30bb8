"""A model in a folder: saved and loaded it is the same model, and damage is named."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from rankspace.errors import Corrupt, WrongLayout
from rankspace.model import folder
from rankspace.model.presets import Preset
from rankspace.model.readout import Readout
from tests.model.networks import PRESETS, awake, inputs
from tests.worlds import space


@PRESETS
def test_a_model_that_was_saved_is_the_same_model(preset: Preset, tmp_path: Path) -> None:
    network = awake(preset)
    folder.save(tmp_path, network, space())
    loaded, its_space = folder.load(tmp_path)
    assert loaded.config == network.config
    for name, value in network.state_dict().items():
        assert torch.equal(loaded.state_dict()[name], value), name
    whole = inputs([space().read("image", "", space().vocabulary.groups[:5] * 0)])
    before, after = (each.mix(each.states(whole))[0, -1:] for each in (network, loaded))
    assert torch.equal(before, after)
    logits = [
        Readout(each).logits(network, network.unembedding(), 0, before, torch.tensor([4]), 0.5)
        for each in (space(), its_space)
    ]
    assert torch.equal(*logits)


def test_noise_is_as_loud_as_when_the_weights_were_learnt(tmp_path: Path) -> None:
    network = awake("prism")
    network.advance(0.5)
    folder.save(tmp_path, network, space())
    loaded, _ = folder.load(tmp_path)
    assert float(loaded.layers[0].attention.noise) == pytest.approx(0.055)


def test_a_loaded_model_answers_and_does_not_learn(tmp_path: Path) -> None:
    folder.save(tmp_path, awake(), space())
    loaded, _ = folder.load(tmp_path)
    assert not loaded.training
    assert not any(weight.requires_grad for weight in loaded.parameters())


def test_nothing_a_model_needs_is_pickled(tmp_path: Path) -> None:
    folder.save(tmp_path, awake(), space())
    kinds = {path.suffix for path in tmp_path.rglob("*") if path.is_file()}
    assert kinds <= {".json", ".safetensors", ".npz", ".npy", ".arrow"}


def cut_short(path: Path) -> None:
    (path / folder.WEIGHTS).write_bytes((path / folder.WEIGHTS).read_bytes()[:-100])


def no_weights(path: Path) -> None:
    (path / folder.WEIGHTS).unlink()


def no_config(path: Path) -> None:
    (path / folder.CONFIG).unlink()


def no_json(path: Path) -> None:
    (path / folder.CONFIG).write_text("{", "utf-8")


def another_width(path: Path) -> None:
    values = json.loads((path / folder.CONFIG).read_text("utf-8"))
    (path / folder.CONFIG).write_text(json.dumps(values | {"width": 32}), "utf-8")


def one_weight_less(path: Path) -> None:
    weights = load_file(path / folder.WEIGHTS)
    del weights["mouth.weight"]
    save_file(weights, path / folder.WEIGHTS)


def one_weight_more(path: Path) -> None:
    weights = load_file(path / folder.WEIGHTS)
    save_file(weights | {"extra": torch.zeros(2)}, path / folder.WEIGHTS)


def another_vocabulary(path: Path) -> None:
    (path / "vocabulary.json").write_text("[]", "utf-8")


@pytest.mark.parametrize(
    "damage",
    [cut_short, no_weights, no_config, no_json, another_vocabulary],
)
def test_damage_is_named(damage: Callable[[Path], None], tmp_path: Path) -> None:
    folder.save(tmp_path, awake(), space())
    damage(tmp_path)
    with pytest.raises(Corrupt):
        folder.load(tmp_path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (another_width, r"config: blocks.0.attention.out.weight and \d+ more of another shape; "),
        (one_weight_less, "config: mouth.weight missing; "),
        (one_weight_more, "config: extra without a place; "),
    ],
)
def test_another_layout_is_told_from_damage(
    change: Callable[[Path], None], message: str, tmp_path: Path
) -> None:
    folder.save(tmp_path, awake(), space())
    change(tmp_path)
    with pytest.raises(WrongLayout, match=message + r"rankspace\.model\.convert"):
        folder.load(tmp_path)

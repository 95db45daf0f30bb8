"""Weights of one layout into another: by name, and neutral switches change no logit."""

import json
from pathlib import Path

import pytest
import torch

from rankspace.errors import Corrupt, InvalidConfig, WrongLayout
from rankspace.model import folder
from rankspace.model.convert import carry, convert
from tests.model.networks import awake, born, inputs
from tests.worlds import space

WHOLE = inputs([space().read("image", "", space().vocabulary.groups[:5] * 0)])


def test_switches_that_begin_as_the_identity_change_nothing(tmp_path: Path) -> None:
    old, new = tmp_path / "old", tmp_path / "new"
    old.mkdir()
    new.mkdir()
    network = awake()
    folder.save(old, network, space())
    carried = convert(old, new, value_residual=True, first_residual=True, gate_beta="input")
    assert not carried.left
    assert {name.rsplit(".", 1)[1] for name in carried.born} == {"blend", "sense"}
    loaded, _ = folder.load(new)
    for one, two in zip(loaded.states(WHOLE), network.states(WHOLE), strict=True):
        torch.testing.assert_close(one, two, rtol=1e-4, atol=1e-5)


def test_a_weight_of_another_shape_is_left_and_born_anew() -> None:
    source, target = awake(), born(hidden=48)
    fresh = target.get_parameter("blocks.0.feedforward.inner.weight").clone()
    carried = carry(source.state_dict(), target)
    assert "blocks.0.feedforward.inner.weight" in set(carried.left) & set(carried.born)
    assert torch.equal(target.get_parameter("blocks.0.feedforward.inner.weight"), fresh)
    assert torch.equal(target.embed.weight, source.embed.weight)
    assert set(carried.taken) | set(carried.born) == set(target.state_dict()) - {"features"}


def test_a_setting_that_is_not_known_is_named_and_dropped(tmp_path: Path) -> None:
    network = awake()
    folder.save(tmp_path, network, space())
    path = tmp_path / folder.CONFIG
    path.write_text(json.dumps(json.loads(path.read_text("utf-8")) | {"wings": 2}), "utf-8")
    with pytest.raises(WrongLayout, match=r"does not know, wings; .*convert"):
        folder.load(tmp_path)
    target = tmp_path / "new"
    target.mkdir()
    assert not convert(tmp_path, target).born
    assert folder.load(target)[0].config == network.config


def test_switches_that_do_not_fit_are_refused_and_so_is_an_empty_folder(tmp_path: Path) -> None:
    folder.save(tmp_path, awake(), space())
    with pytest.raises(InvalidConfig) as caught:
        convert(tmp_path, tmp_path, experts=1)
    assert caught.value.field == "experts"
    (tmp_path / folder.WEIGHTS).unlink()
    with pytest.raises(Corrupt, match="missing or damaged"):
        convert(tmp_path, tmp_path)

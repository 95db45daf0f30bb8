"""Vital signs: by hand where they can be had by hand, named when they look wrong, in the events."""

import math
from pathlib import Path

import pytest
import torch

from rankspace.media.sample import MODALITIES
from rankspace.model.experts import Experts
from rankspace.model.network import Network
from rankspace.model.presets import Preset
from rankspace.model.readout import Readout
from rankspace.training.balance import Balance
from rankspace.training.batches import Batch, pack
from rankspace.training.documents import Documents
from rankspace.training.job import JobConfig
from rankspace.training.loop import Feed
from rankspace.training.vitals import Vitals, rows, vitals, warnings
from rankspace.training.vitals_experts import classes, purity
from rankspace.training.work import Work
from tests.model.networks import CONTEXT, PRESETS, awake, born
from tests.training.corpus import CONFIG, row
from tests.worlds import KINDS, space

READOUT = Readout(space())
ROWS = [row(seed, (kind,)) for seed, kind in enumerate(KINDS)]
JOB = CONFIG.model_copy(update={"steps": 10, "vitals_every": 4, "checkpoint_every": 3})


def batch() -> Batch:
    """Half a dozen rows of documents of all kinds."""
    job = CONFIG.model_copy(update={"batch_symbols": 384})
    feed = Feed(Documents(space(), CONTEXT), [ROWS], job, {})
    return feed.pack(feed.batch(0, Balance(("a",))), 0, 1)


def taken(network: Network) -> Vitals:
    return vitals(network, READOUT, batch(), 0.5, 0.25)


@PRESETS
def test_every_preset_has_all_its_vital_signs(preset: Preset) -> None:
    network = awake(preset)
    figures = taken(network).figures
    assert all(map(math.isfinite, figures.values()))
    names = {name.split("/")[0] for name in figures}
    assert names >= {
        "grad_norm", "rank", "deficit", "rate", "cosine", "repetition", "entropy", "sink",
        "share", "loss",
    }  # fmt: skip
    assert sum(figures[f"share/{layer}"] for layer in range(2)) == pytest.approx(1)
    for head in ("0/0", "0/1", "1/0", "1/1"):
        assert 0 <= figures[f"entropy/{head}"] <= 1.0001
        assert 0 <= figures[f"sink/{head}"] <= 1.0001
    assert 1 <= figures["rank/0"] <= 16
    assert figures["grad_norm"] == 0.25
    assert ("maxvio/0" in figures) == (preset == "rank_moe")


def test_a_look_at_vital_signs_changes_nothing_and_draws_no_chance() -> None:
    network = awake("rank_moe").train()
    before, chance = [w.clone() for w in network.parameters()], torch.get_rng_state()
    taken(network)
    assert network.training
    assert all(map(torch.equal, before, network.parameters()))
    assert torch.equal(chance, torch.get_rng_state())


def test_levels_are_read_out_each_alone_and_the_last_of_one_voice_is_the_whole() -> None:
    network, few = awake("gpt2"), rows(batch(), 2)
    mixed = network.mix(network.states(few.inputs, few.mask)).flatten(0, 1)
    nats = []
    for asked in few.asked:
        at = mixed[asked.index]
        logits = READOUT.logits(network, network.unembedding(), asked.door, at, asked.before, 0.5)
        nats.append(READOUT.losses(logits, asked.door, asked.targets))
    figures = taken(network).figures
    assert figures["loss/1"] == pytest.approx(float(torch.cat(nats).mean()), rel=1e-4)
    assert figures["loss/0"] != figures["loss/1"]
    assert (figures["share/0"], figures["share/1"]) == pytest.approx((0, 1), abs=1e-6)


def test_an_even_head_has_all_the_entropy_and_a_sharp_one_sinks() -> None:
    network = awake()
    with torch.no_grad():
        for layer in network.layers:
            assert layer.attention.log_beta is not None
            layer.attention.log_beta.fill_(-20.0)
    figures = taken(network).figures
    assert figures["entropy/1/1"] == pytest.approx(1, abs=1e-3)
    few = rows(batch(), 2)
    seen = few.mask.sum(-1)[:, 0]
    real = (few.inputs.symbols != 0) & (seen >= 4)
    assert figures["sink/0/0"] == pytest.approx(float((1 / seen[real]).mean()), rel=1e-3)


WRONG = {
    "plateau": {"cosine": 0.95, "repetition": 0.5, "repetition_data": 0.1},
    "collapse": {"rank": 1.5, "rank_least": 2.0},
    "sink": {"sink/0/1": 0.95, "sink/0/0": 0.1},
    "dead_expert": {"dead/1": 1.0},
    "nan": {"rate/0": math.nan},
}


@pytest.mark.parametrize("name", WRONG)
def test_what_looks_wrong_has_a_name(name: str) -> None:
    assert warnings(WRONG[name]) == (name,)
    assert warnings({}) == ()


def test_repetition_of_the_data_itself_is_no_plateau() -> None:
    assert warnings({"cosine": 0.95, "repetition": 0.5, "repetition_data": 0.4}) == ()
    assert warnings({"cosine": 0.5, "repetition": 0.5, "repetition_data": 0.1}) == ()


def test_a_network_that_says_one_thing_stands_on_a_plateau() -> None:
    network = awake("gpt2")
    with torch.no_grad():
        network.embed.weight.zero_()
        assert network.position is not None
        network.position.weight.copy_(network.position.weight[:1].expand(CONTEXT, -1))
    found = taken(network)
    assert found.figures["cosine"] == pytest.approx(1, abs=1e-3)
    assert {"plateau", "collapse"} <= set(found.warnings)


def test_weights_that_are_no_numbers_are_noticed() -> None:
    network = awake()
    with torch.no_grad():
        network.get_parameter("blocks.1.feedforward.out.weight")[0, 0] = math.nan
    assert "nan" in taken(network).warnings


def test_an_expert_without_work_is_noticed() -> None:
    network = awake("rank_moe")
    for layer in network.layers:
        assert isinstance(layer.feedforward, Experts)
        layer.feedforward.load = torch.tensor([5, 5, 0, 2])
    found = taken(network)
    assert found.figures["dead/0"] == 1
    assert found.figures["maxvio/0"] == pytest.approx(2 / 3)
    assert "dead_expert" in found.warnings


def test_purity_is_that_of_clusterings() -> None:
    groups, kinds = torch.tensor([0, 0, 0, 1, 1, 2]), torch.tensor([3, 3, 1, 1, 1, 0])
    assert purity(groups, kinds) == pytest.approx(5 / 6)
    assert purity(torch.zeros_like(groups), kinds) == pytest.approx(3 / 6)
    found = classes(READOUT)
    for number, door in enumerate(READOUT.doors, start=1):
        assert (found[door.ids] >= 1).all(), number
    assert len(found) == space().vocabulary.size


def test_the_first_rows_of_a_batch_are_those_rows() -> None:
    whole = batch()
    few = rows(whole, 2)
    assert torch.equal(few.inputs.symbols, whole.inputs.symbols[:2])
    asked = sum(len(each.index) for each in few.asked)
    assert asked == sum(int((each.index < 2 * CONTEXT).sum()) for each in whole.asked)
    assert vitals(born(), READOUT, pack([], CONTEXT, rows=2), 1.0, 0.0).figures == {"grad_norm": 0}


def done(folder: Path, job: JobConfig) -> Work:
    torch.manual_seed(0)
    folder.mkdir()
    work = Work(job, space(), [ROWS], [[]], {})
    warned = [event.warnings for event in work.train(folder, lambda: "run", 0, 1)]
    assert all(isinstance(each, tuple) for each in warned)
    return work


def test_a_run_reports_its_vital_signs_and_they_change_nothing(tmp_path: Path) -> None:
    watched = done(tmp_path / "a", JOB)
    alone = done(tmp_path / "b", JOB.model_copy(update={"vitals_every": 0}))
    pairs = zip(
        watched.learner.network.parameters(), alone.learner.network.parameters(), strict=True
    )
    assert all(torch.equal(*pair) for pair in pairs)
    assert {"vitals/rank/0", "vitals/loss/3", "vitals/sink/1/1"} <= watched.metrics.keys()
    assert watched.metrics["vitals/grad_norm"] > 0
    assert not any(name.startswith("vitals/") for name in alone.metrics)


def test_what_looks_wrong_is_told_in_the_events(tmp_path: Path) -> None:
    """Of more experts than there are symbols, some have no work."""
    many = {"experts": 200, "active": 1, "hidden": 4, "depth": 1}
    job = JOB.model_copy(
        update={"preset": "rank_moe", "switches": many, "batch_symbols": 256, "steps": 4}
    )
    torch.manual_seed(0)
    work = Work(job, space(), [ROWS], [[]], {})
    events = list(work.train(tmp_path, lambda: "run", 0, 1))
    assert events[0].warnings == ()
    assert "dead_expert" in events[-1].warnings
    assert work.metrics["vitals/dead/0"] > 0


@pytest.mark.parametrize("modality", MODALITIES)
def test_a_modality_alone_has_vital_signs(modality: str) -> None:
    alone = [found for kind, found in zip(KINDS, ROWS, strict=True) if kind[0] == modality]
    feed = Feed(Documents(space(), CONTEXT), [alone], CONFIG, {})
    found = feed.pack(feed.batch(0, Balance(("a",))), 0, 1)
    figures = vitals(awake(), READOUT, found, 0.0, 1.0).figures
    assert all(map(math.isfinite, figures.values()))

"""Sample efficiency is counted right: every byte once, nothing of the future, no leak."""

import json
import math
from pathlib import Path

import numpy as np
import pytest
import torch

from benchmarks import _arms_counts, _arms_jobs, _peers_text
from benchmarks._arms import Arm
from benchmarks._arms_jobs import Job, Settings, built, why_not
from benchmarks._arms_levels import levels
from benchmarks._arms_networks import Ours
from benchmarks._arms_table import SPECS, TOLERANCE
from benchmarks._arms_training import Plan, bits_per_byte, run, stagnant
from benchmarks._text_data import Corpus, Stories, stories
from benchmarks._text_samples import Judge
from benchmarks.sample_efficiency import interval, parent, reached
from rankspace.errors import InvalidInput, NotFound
from rankspace.training.job import DECAY

SMALL = Settings(
    stories=60, held_out=12, budget=8000, symbols=300, parameters=74_000, width=48, depth=2,
    context=64, sampled=1, dropout=0.0,
)  # fmt: skip
ARMS = (
    "gpt2",
    "prism",
    "crate",
    "rank_moe",
    "rank+mix5",
    "rank+add5",
    "rank",
    "gpt2+held",
    "hf_gpt2",
    "xt",
)


def story(random: np.random.Generator) -> str:
    """A few sentences of a small world, some with letters of two bytes."""
    names, things = ["Маша", "Кот", "Tom"], ["мяч", "дом", "a red cup", "лес"]
    lines = [
        f"{random.choice(names)} {random.choice(['видит', 'finds'])} {random.choice(things)}."
        for _ in range(int(random.integers(2, 5)))
    ]
    return " ".join(lines)


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Corpus:
    folder = tmp_path_factory.mktemp("data") / "tinystories_ru"
    folder.mkdir()
    random = np.random.default_rng(0)
    for split, count in (("train", 60), ("valid", 12)):
        told = [json.dumps({"story": story(random)}) for _ in range(count)]
        (folder / f"{split}.jsonl").write_text("\n".join(told), "utf-8")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RANKSPACE_DATA", str(folder.parent))
        return Corpus.load(SMALL.stories, SMALL.held_out, SMALL.symbols)


def arm_of(name: str, corpus: Corpus) -> Arm:
    pytest.importorskip(_peers_text.PEERS.get(name.removesuffix(_peers_text.STEADY), "torch"))
    return built(Job(name), SMALL, corpus)


def test_without_data_it_says_what_is_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RANKSPACE_DATA", str(tmp_path))
    with pytest.raises(NotFound, match="neither a folder tinystories_ru nor text_tasks_visible"):
        stories("train", 0, 1)


@pytest.mark.parametrize("context", [8, 32, 500])
def test_windows_ask_for_every_symbol_of_every_story_once(corpus: Corpus, context: int) -> None:
    test = corpus.test
    batches = list(test.windows(context, 3))
    places = np.concatenate([b.places[b.targets >= 0].numpy() for b in batches])
    targets = np.concatenate([b.targets[b.targets >= 0].numpy() for b in batches])
    inside = np.setdiff1d(np.arange(len(test.line)), test.starts)
    assert np.array_equal(np.sort(places), inside)
    assert np.array_equal(test.line[places], targets)
    for batch in batches:
        here = (batch.targets >= 0).numpy()
        assert np.array_equal(
            test.line[batch.places.numpy()[here] - 1], batch.symbols.numpy()[here]
        )


def test_an_epoch_is_every_story_once(corpus: Corpus) -> None:
    opened = [corpus.train.draw(5, step, 10, 500).places.max(1).values.numpy() for step in range(6)]
    assert len(np.unique(np.concatenate(opened))) == len(corpus.train)


@pytest.mark.parametrize("name", ARMS)
def test_an_arm_has_its_parameters_sees_no_future_and_counts_bytes_in_two_ways(
    name: str, corpus: Corpus
) -> None:
    arm = arm_of(name, corpus)
    if name in SPECS:
        assert abs(arm.parameters / SMALL.parameters - 1) < TOLERANCE
    arm.model.eval()
    batch = next(corpus.test.windows(64, 4))
    changed = batch.symbols.clone()
    changed[:, 20:] = torch.randint(4, 200, changed[:, 20:].shape)
    few = Stories(corpus.tune.texts[:2], corpus.tune.ids[:2])
    with torch.no_grad():
        other = type(batch)(changed, batch.targets, batch.places)
        early = (batch.targets >= 0) & (torch.arange(64) < 20)
        asked = early[batch.targets >= 0]
        first, second = (arm.nats(each, corpus.test, 1.0)[asked] for each in (batch, other))
        by_rows = bits_per_byte(arm, few, Plan(budget=1, seed=0, context=64))
        by_symbols = -sum(map(math.log, odds(arm, few))) / math.log(2) / few.bytes
    torch.testing.assert_close(first, second, rtol=1e-4, atol=1e-4)
    assert by_rows == pytest.approx(by_symbols, rel=0.01)


def odds(arm: Arm, told: Stories) -> list[float]:
    """Of every symbol, from the law after its beginning alone."""
    return [
        float(arm.law(torch.from_numpy(ids[None, :t].astype(np.int64)))[0, ids[t]])
        for ids in told.ids
        for t in range(1, len(ids))
    ]


def test_training_lowers_what_held_out_stories_cost_and_the_birth_law_holds(corpus: Corpus) -> None:
    arm = arm_of("rank", corpus)
    done: list[float] = []
    plan = Plan(budget=10_000, seed=0, context=64, read_every=4000, sampled=1, length=8)
    result = run(arm, corpus, plan, done.append)
    curve = result["curve"]
    assert isinstance(curve, list)
    assert result["test_bpb"] < 0.8 * bits_per_byte(arm_of("gpt2", corpus), corpus.test, plan)
    assert abs(result["birth_gap_nats"]) < 0.01
    assert done[-1] == 1
    assert curve[-1][0] == result["tokens"]
    assert len(result["samples"]) == 1


@pytest.mark.parametrize("name", ["rank", "gpt2"])
def test_levels_end_in_the_whole_network(name: str, corpus: Corpus) -> None:
    arm = arm_of(name, corpus)
    assert isinstance(arm, Ours)
    for step in range(5):
        arm.loss(corpus.train.draw(0, step, 4, 64), corpus.train, 0.5).backward()
        arm.step(1.0, 0.5)
    with torch.no_grad():
        arm.fit_shares(corpus.tune.windows(64, 4), corpus.tune, 1.0)
    *blocks, whole = levels(arm, corpus.tune, 64, 4)
    assert len(blocks) == len(arm.network.layers)
    assert whole["kept"] == pytest.approx(1, abs=1e-4)
    bits = bits_per_byte(arm, corpus.tune, Plan(budget=1, seed=0, context=64))
    assert whole["bits"] == pytest.approx(bits, rel=0.01)
    assert sum(each["share"] for each in blocks) == pytest.approx(1, abs=1e-4)
    for each in blocks:
        assert each["best"] <= each["nats"]
        assert 0 < each["kept"] <= 1.0001
    top = blocks[-1]
    assert (top["nats"] == pytest.approx(whole["nats"])) == (name == "gpt2")  # it speaks alone


def test_arms_are_begun_and_held_as_they_say(corpus: Corpus) -> None:
    plain, loud, held = (arm_of(name, corpus) for name in ("rank", "rank-zero", "rank+heads"))
    for arm, silent in ((plain, True), (loud, False)):
        written = [w for name, w in arm.model.named_parameters() if name.endswith("out.weight")]
        assert [bool((weight == 0).all()) for weight in written] == [silent] * len(written)
    betas = [arm.facts()["beta/attention/0"] for arm in (plain, held)]
    assert betas[0] == betas[1]
    for arm in (plain, held):
        arm.loss(corpus.train.draw(0, 0, 4, 64), corpus.train, 0.9).backward()
        arm.step(1.0, 0.9)
    assert plain.facts()["beta/attention/0"] == betas[0]
    assert held.facts()["beta/attention/0"] != betas[0]


def test_an_arm_falls_and_averages_as_it_says(corpus: Corpus) -> None:
    names = ("gpt2", "gpt2+average", "hf_gpt2", "hf_gpt2+average", "rank", "rank+decay")
    told = {name: arm_of(name, corpus) for name in names}
    assert {name: (arm.decay, arm.average) for name, arm in told.items()} == {
        "gpt2": (DECAY, False), "gpt2+average": (0, True),
        "hf_gpt2": (DECAY, False), "hf_gpt2+average": (0, True),
        "rank": (0, True), "rank+decay": (DECAY, True),
    }  # fmt: skip


def test_training_ends_when_the_last_readings_are_no_better_than_those_before() -> None:
    assert not stagnant([3.0, 2.0, 2.5, 2.4], 3)
    assert stagnant([3.0, 2.0, 2.5, 2.4, 2.0], 3)
    assert not stagnant([3.0, 2.0, 2.5, 2.4, 1.9], 3)


def test_a_plain_arm_learns(corpus: Corpus) -> None:
    arm = arm_of("gpt2", corpus)
    plan = Plan(budget=12_000, seed=0, context=64, read_every=6000, sampled=0)
    result = run(arm, corpus, plan, lambda _: None)
    assert result["tune_bpb"] < 0.8 * result["curve"][0][2]


def test_counting_baselines_are_laws_over_whole_stories(corpus: Corpus) -> None:
    """A story's cost is that of its symbols, told one by one by the same model."""
    for name in ("kn5", "kn5_bytes", "ppm", "ppm_bytes"):
        make, orders = _arms_counts.BASELINES[name]
        model = make(corpus, orders[0])
        whole = model.nats(corpus.test)
        apart = sum(
            model.nats(Stories([text], [ids]))
            for text, ids in zip(corpus.test.texts, corpus.test.ids, strict=True)
        )
        assert whole == pytest.approx(apart, rel=1e-4)
        assert 0 < whole / math.log(2) / corpus.test.bytes < 3
        assert model.sample(np.random.default_rng(0), 20)


def test_runs_are_kept_and_not_done_twice(
    corpus: Corpus, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RANKSPACE_BENCH", str(tmp_path))
    monkeypatch.setattr(Corpus, "load", lambda *_: corpus)
    job = Job("ppm")
    SMALL.folder.mkdir(parents=True)
    assert _arms_jobs.found(job, SMALL) is None
    _arms_jobs.work(job, SMALL)
    first = _arms_jobs.found(job, SMALL)
    assert first is not None
    assert first["test_bpb"] > 0
    _arms_jobs.finish([job], SMALL, 1)
    assert _arms_jobs.found(job, SMALL) == first


def test_a_failed_run_is_named_and_a_started_one_does_not_outlive_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RANKSPACE_BENCH", str(tmp_path))
    monkeypatch.setenv("RANKSPACE_DATA", str(tmp_path))
    with pytest.raises(InvalidInput, match=r"the run kn5\.1\.0 failed; its last words are in"):
        _arms_jobs.finish([Job("kn5")], SMALL, 1)
    assert "neither a folder" in (SMALL.folder / "kn5.1.0.log").read_text("utf-8")


def test_made_up_stories_are_judged_by_unseen_and_by_training_stories() -> None:
    judge = Judge(unseen=["a b c d", "x y z"], train=["one two three four", "five six"])
    assert judge.validity(["a b c", "b c q"]) == 0.5
    assert judge.validity(["d x y"]) == 0  # runs across the border of two stories are none
    assert judge.copied(["so two three four five", "six"]) == 3
    assert judge.copied(["nothing"]) == 0


def test_intervals_crossings_and_parents() -> None:
    assert interval([1.0, 2.0, 3.0]) == pytest.approx((2.0, 4.303 / 3**0.5), rel=1e-3)
    assert reached([(0, 0.0, 3.0), (100, 1.0, 1.0)], 2.0) == 50
    assert math.isnan(reached([(0, 0.0, 3.0)], 2.0))
    assert [parent(arm) for arm in ("rank+mix5-leaky", "prism-untied", "rank_moe")] == [
        "rank", "prism", "rank_moe",
    ]  # fmt: skip
    assert why_not("nobody") == "no arm of this name"

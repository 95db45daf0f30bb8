"""The steps of training: fed without chance, learning what can be learnt, the same every time."""

import math
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch

from rankspace.errors import Diverged
from rankspace.media.sample import MODALITIES
from rankspace.model.experts import Experts
from rankspace.model.network import Network
from rankspace.model.presets import Preset
from rankspace.model.readout import Readout
from rankspace.ranks.vocabulary import END_OF_PART
from rankspace.store.tokens import TokenSample
from rankspace.training.balance import Balance
from rankspace.training.batches import Batch, pack
from rankspace.training.documents import Document, Documents
from rankspace.training.job import JobConfig
from rankspace.training.loop import Drawn, Feed, Learner, gate
from rankspace.training.measure import batches, measure, prior_cross_entropy
from tests.model.networks import CONTEXT, PRESETS, awake, born, config
from tests.training.corpus import CONFIG, row
from tests.worlds import KINDS, space

READOUT = Readout(space())
ROWS = [[row(seed, (kind, ("text", "en"))) for seed in range(6)] for kind in KINDS[:3]]
THREE = CONFIG.model_copy(update={"streams": ("a", "b", "c")})
EVEN = Balance(THREE.streams)


def feed(job: JobConfig = THREE, rows: list[list[TokenSample]] | None = None) -> Feed:
    return Feed(Documents(space(), CONTEXT), rows or ROWS, job, {})


def laid(drawn: Drawn) -> list[Document]:
    return [Documents(space(), CONTEXT).lay(sketch) for sketch in drawn.sketches]


def test_the_memory_falls_silent() -> None:
    heard = [gate(step, 100) for step in range(100)]
    assert heard[0] == 1
    assert heard == sorted(heard, reverse=True)
    assert heard[50] == 0


def test_a_batch_follows_from_the_seed_the_step_and_the_balance() -> None:
    balance = Balance(THREE.streams)

    def symbols(seed: int, step: int) -> list[bytes]:
        job = THREE.model_copy(update={"seed": seed})
        return [d.symbols.tobytes() for d in laid(feed(job).batch(step, balance))]

    assert symbols(0, 0) == symbols(0, 0)
    assert symbols(0, 0) != symbols(0, 1)
    assert symbols(0, 0) != symbols(1, 0)


@pytest.mark.parametrize("world", [1, 2, 3])
def test_workers_share_a_batch_whatever_their_number(world: int) -> None:
    drawn = feed().batch(0, Balance(THREE.streams))
    shares = [feed().pack(drawn, rank, world) for rank in range(world)]
    assert sum(share.symbols for share in shares) == sum(map(len, drawn.sketches))
    assert len({share.inputs.symbols.shape[1] for share in shares}) == 1


def test_a_batch_is_about_as_large_as_asked() -> None:
    drawn = feed().batch(0, Balance(THREE.streams))
    total = sum(map(len, drawn.sketches))
    assert 0.9 * THREE.batch_symbols < total < THREE.batch_symbols + CONTEXT


@pytest.mark.parametrize("modality", MODALITIES)
def test_every_modality_is_learnt(modality: str) -> None:
    (kind,) = (kind for kind in KINDS if kind[0] == modality and not kind[1])
    rows = [row(0, (kind,), 12)]
    job = CONFIG.model_copy(update={"steps": 60})
    learner, source = Learner(born(), READOUT, job), feed(job, [rows])
    balance, losses = Balance(("a",)), []
    for step in range(60):
        batch = source.pack(source.batch(step, balance), 0, 1)
        loss, (nats,) = learner.step(batch, step, 1)
        assert loss == pytest.approx(nats, rel=0.05)
        losses.append(loss)
    assert losses[-1] < 0.8 * losses[0]


def test_a_source_that_was_not_drawn_has_no_loss() -> None:
    batch = pack(laid(feed().batch(0, Balance(THREE.streams))), CONTEXT)
    _, losses = Learner(born(), READOUT, THREE).step(batch, 0, 5)
    assert [math.isnan(loss) for loss in losses] == [False, False, False, True, True]


@pytest.mark.parametrize("preset", ["rank", "gpt2"])
def test_two_learners_at_one_seed_are_one(preset: Preset) -> None:
    job = THREE.model_copy(update={"preset": preset})

    def learnt() -> Iterator[torch.Tensor]:
        learner, balance = Learner(born(preset), READOUT, job), Balance(job.streams)
        for step in range(4):
            drawn = feed().batch(step, balance)
            _, losses = learner.step(feed().pack(drawn, 0, 1), step, 3)
            balance.settle(drawn.turn, losses)
        return learner.network.parameters()

    assert all(map(torch.equal, learnt(), learnt()))


SWITCHED: dict[str, dict[str, Any]] = {
    "supervise": {"supervise": 0.5},
    "target": {"memory": "target"},
    "mixture": {"memory": "mixture"},
    "counts": {"memory": "counts"},
    "pmi": {"birth": "pmi"},
    "hold": {"hold": {"attention": 0.6, "gate": 0.9, "output": 0.5}},
    "residuals": {"value_residual": True, "first_residual": True, "norm": "rms", "soft_cap": 15},
}


def learnt(network: Network, steps: int = 12) -> list[float]:
    """Mean loss of all sources, step by step on one batch."""
    job = THREE.model_copy(update={"steps": steps})
    learner, batch = Learner(network, READOUT, job), feed().pack(feed().batch(0, EVEN), 0, 1)
    return [sum(learner.step(batch, step, 3)[1]) / 3 for step in range(steps)]


@PRESETS
def test_every_preset_learns(preset: Preset) -> None:
    losses = learnt(born(preset))
    assert losses[-1] < losses[0]


@pytest.mark.parametrize("name", SWITCHED)
def test_every_switch_learns(name: str) -> None:
    losses = learnt(born(**SWITCHED[name]))
    assert losses[-1] < losses[0]


def test_lower_blocks_are_supervised_at_their_weight() -> None:
    batch = feed().pack(feed().batch(0, EVEN), 0, 1)
    losses = []
    for weight in (0.0, 0.5, 1.0):
        learner = Learner(awake(supervise=weight).requires_grad_(), READOUT, THREE)
        losses.append(learner.step(batch, 0, 3)[0])
    assert losses[1] - losses[0] == pytest.approx((losses[2] - losses[0]) / 2, rel=0.02)
    assert losses[2] > losses[0]


def test_rates_fall_over_as_many_steps_as_the_job_says() -> None:
    """In its last step a job whose rates never fall moves as far as in the middle."""
    batch, moved = feed().pack(feed().batch(0, EVEN), 0, 1), []
    for decay in (0.0, 1.0):
        job = THREE.model_copy(update={"decay": decay, "steps": 100})
        learner = Learner(awake().requires_grad_(), READOUT, job)
        before = learner.network.embed.weight.detach().clone()
        learner.step(batch, job.steps - 1, 3)
        moved.append(float((learner.network.embed.weight - before).detach().norm()))
    assert moved[1] == pytest.approx(moved[0] / 100, rel=0.02)


def test_betas_that_are_held_move_and_those_that_learn_are_left_to_learn() -> None:
    network = born(hold={"attention": 0.6})
    before = [weight.clone() for weight in network.held("attention")]
    learnt(network, 5)
    assert not any(map(torch.equal, before, network.held("attention")))
    assert network.training


def test_experts_are_balanced_while_they_learn() -> None:
    network = born("rank_moe", balance_rate=0.01)
    learnt(network, 2)
    for layer in network.layers:
        assert isinstance(layer.feedforward, Experts)
        assert layer.feedforward.bias.abs().max() == pytest.approx(0.02, abs=0.011)


def test_a_loss_that_is_no_number_moves_nothing_and_names_its_source() -> None:
    network = born()
    learner, batch = Learner(network, READOUT, THREE), feed().pack(feed().batch(0, EVEN), 0, 1)
    learner.step(batch, 0, 3)
    with torch.no_grad():  # of three sources, one has sounds
        ids = [door.ids for door in READOUT.doors if door.alphabet.modality == "audio"]
        sounds = torch.cat(ids)
        network.embed.weight[sounds[sounds > END_OF_PART]] = math.nan
    before = [weight.clone() for weight in network.parameters()]
    with pytest.raises(Diverged, match=r"the loss of a\b.* is no number in step 1: the weights"):
        learner.step(batch, 1, 3)
    for old, new in zip(before, network.parameters(), strict=True):
        assert torch.equal(old.nan_to_num(7.0), new.nan_to_num(7.0))


def test_a_gradient_that_is_no_number_moves_nothing_and_names_what_was_read() -> None:
    network = born()
    learner, batch = Learner(network, READOUT, THREE), feed().pack(feed().batch(0, EVEN), 0, 1)
    network.embed.weight.register_hook(lambda grad: grad * math.inf)
    before = [weight.clone() for weight in network.parameters()]
    with pytest.raises(Diverged, match=r"norm became (nan|inf) in step 3, which read a, b, c: "):
        learner.step(batch, 3, 3)
    assert all(map(torch.equal, before, network.parameters()))


def test_the_birth_law_over_documents() -> None:
    """What is measured before the first step is what the memory alone would need."""
    found = list(batches(laid(feed().batch(0, Balance(THREE.streams))), CONTEXT, 256))
    born_loss = measure(born(), READOUT, found, gate(0, 10)).mean
    assert born_loss == pytest.approx(prior_cross_entropy(space(), found), abs=1e-5)


def test_measures_are_those_of_each_group_and_of_the_memory() -> None:
    documents = laid(feed().batch(0, Balance(THREE.streams)))
    found = measure(born(), READOUT, list(batches(documents, CONTEXT, 100)), 1.0)
    symbols = sum(int((document.doors >= 0).sum()) for document in documents)
    for groups in (found.modalities, found.sources):
        assert sum(tally.symbols for tally in groups.values()) == symbols
        for tally in groups.values():
            assert tally.model == pytest.approx(tally.bigram, rel=1e-4)
            assert tally.bigram != tally.unigram
    bits = found.bits()
    assert bits["bits_per_symbol/text/model"] == pytest.approx(
        found.modalities["text"].model / found.modalities["text"].symbols / math.log(2)
    )


def test_a_measure_changes_nothing() -> None:
    network = awake()
    documents = laid(feed().batch(0, Balance(THREE.streams)))
    found = list(batches(documents, CONTEXT, 256))
    one, two = (measure(network, READOUT, found) for _ in range(2))
    assert one.loss == two.loss
    assert measure(network, READOUT, [pack(documents, CONTEXT)]).loss == pytest.approx(
        one.loss, rel=0.01
    )


def test_nothing_held_out_has_no_loss() -> None:
    assert math.isnan(measure(born(), READOUT, []).loss)


GOLDEN = {
    "rank": [3.65571, 3.64615, 3.61876, 3.56944, 3.48091],
    "gpt2": [4.06793, 3.84930, 3.66169, 3.49477, 3.32009],
}
"""Nats per symbol. In float32, by AdamW, and without the codecs' features, which come of k-means:
so that every processor finds the same."""


def nats(network: Network, batch: Batch) -> torch.Tensor:
    """Mean -ln p of all that is asked for, the memory at half its voice."""
    mixed = network.mix(network.states(batch.inputs, batch.mask)).flatten(0, 1)
    found = []
    for asked in batch.asked:
        logits = READOUT.logits(
            network, network.unembedding(), asked.door, mixed[asked.index], asked.before, 0.5
        )
        found.append(READOUT.losses(logits, asked.door, asked.targets))
    return torch.cat(found).mean()


@pytest.mark.parametrize("preset", ["rank", "gpt2"])
def test_five_losses_have_not_moved(preset: Preset) -> None:
    torch.manual_seed(0)
    network = Network(config(preset).model_copy(update={"features": 0}))
    optimizer = torch.optim.AdamW(network.parameters(), lr=0.01, weight_decay=0.0)
    random, documents = np.random.default_rng(0), Documents(space(), CONTEXT)
    batch = pack([documents.draw(0, row(0, (kind,)), random) for kind in KINDS], CONTEXT)
    losses = []
    for _ in range(5):
        loss = nats(network, batch)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    assert losses == pytest.approx(GOLDEN[preset], abs=1e-3)

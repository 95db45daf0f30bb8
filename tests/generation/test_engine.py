"""Scores are the bits of a teacher-forced pass; embeddings are unit vectors of what was read."""

import math
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch

from rankspace.errors import InvalidInput, UnknownModality
from rankspace.generation.engine import CAPACITY, Generator, inputs
from rankspace.generation.request import Sampling, Target
from rankspace.media.sample import MODALITIES, Part
from rankspace.model import folder
from rankspace.model.presets import Preset
from rankspace.ranks.space import Reading
from rankspace.store.tokens import TokenPart, TokenSample
from rankspace.training.documents import Document, Documents
from rankspace.training.measure import batches, measure
from tests.model.networks import awake
from tests.worlds import part, phrase, space

PARTS = [part("image", 1), part("text", 2, "ru"), part("audio", 3), part("video", 4)]
PRESETS = pytest.mark.parametrize("preset", ["rank", "gpt2"])


@PRESETS
def test_bits_are_those_of_a_teacher_forced_pass(preset: Preset) -> None:
    """Symbol by symbol through a cache, over the whole vocabulary, in float64."""
    network, model = awake(preset), Generator(awake(preset), space())
    readings = [model.reading(each) for each in PARTS]
    whole, told = inputs(readings, 0), []
    cache = network.cache(whole.symbols.shape[1])
    at = 0
    for reading in readings:
        bits, doors = 0.0, space().alphabets_of(reading.modality, len(reading.ids) - 2)
        for index in range(len(reading.ids)):
            one = inputs([reading], at - index)
            columns = (one.symbols, one.places, one.buckets, one.times)
            step = type(one)(*(column[:, index : index + 1] for column in columns))
            mixed = network.mix(network.states(step, cache=cache))[0, 0]
            at += 1
            if index + 1 < len(reading.ids):
                logits = (network.unembedding() @ mixed).double()
                if network.log_beta is not None:
                    alone = torch.from_numpy(space().prior.log_unigram()).double()
                    logits = network.log_beta.double().exp() * (logits + alone)
                inside = torch.from_numpy(space().alphabets[doors[index]].ids).long()
                norm = logits[inside].logsumexp(0)
                bits += float(norm - logits[reading.ids[index + 1]]) / math.log(2)
        told.append(bits)
    found = model.score(PARTS)
    assert [score.bits for score in found] == pytest.approx(told, rel=1e-3)
    assert [score.symbols for score in found] == [len(r.ids) - 1 for r in readings]


def test_a_memory_of_any_order_speaks_where_bits_and_answers_are_told() -> None:
    """A trained law is the mixture: what is scored, and what is said symbol by symbol."""
    network, world = awake(memory="held", order=4, document=True), space(4)
    assert network.trust.held is not None
    network.trust.held.table.copy_(torch.tensor([0.9, 0.02, 0.03, 0.05]))
    model, target = Generator(network, world), Target(modality="text")
    session = model.session()
    sampling = Sampling(greedy=False, seed=3, max_symbols=20)
    traces = [
        each for delta in session.speak(target, sampling, trace=True) for each in delta.traces
    ]
    ids = [world.vocabulary.begin("text", "")]
    inside = np.zeros(world.vocabulary.size, np.bool_)
    inside[world.alphabets[world.alphabet_at("text", 1)].ids] = True
    memory = world.memory.restrict(inside)
    for trace in traces[1:]:
        ids.append(traces[len(ids) - 1].symbol)
        told = memory.log_row(np.array([0, *ids], np.int32))[trace.symbol]
        assert trace.log_prior == pytest.approx(float(told), abs=1e-4)
        assert trace.log_prob >= math.log(0.9) + float(told) - 1e-4
    said = Part("text", phrase(3))
    (score,) = model.score([said])
    reading = model.reading(said)
    held_out = batches([_document(model, reading)], 64, 64)
    nats = measure(network, model.readout, list(held_out)).mean
    assert score.bits * math.log(2) == pytest.approx(nats * score.symbols, rel=1e-2)
    assert score.prior_bits * math.log(2) == pytest.approx(
        -float(memory.log_prob(reading.ids)[1:].sum()), rel=1e-4
    )


def _document(model: Generator, reading: Reading) -> Document:
    symbols = model.space.vocabulary.to_local(
        model.space.codec(reading.modality).layout, reading.ids[1:-1]
    )
    row = TokenSample("a", 0, "valid", (TokenPart(reading.modality, reading.role, symbols),))
    return Documents(model.space, 64).draw(0, row, np.random.default_rng(0))


@pytest.mark.parametrize("modality", MODALITIES)
def test_prior_bits_are_those_of_the_memory_alone(modality: str) -> None:
    model = Generator(awake(), space())
    (single,) = (each for each in PARTS if each.modality == modality)
    reading = model.reading(single)
    told = 0.0
    doors = space().alphabets_of(reading.modality, len(reading.ids) - 2)
    for before, following, door in zip(reading.ids, reading.ids[1:], doors, strict=False):
        mask = np.zeros(space().vocabulary.size, np.bool_)
        mask[space().alphabets[door].ids] = True
        law = space().prior.restrict(mask).log_row(np.array([before], np.int32))
        told -= float(law[following]) / math.log(2)
    (found,) = model.score([single])
    assert found.prior_bits == pytest.approx(told, rel=1e-4)


def test_a_part_is_scored_after_those_before_it() -> None:
    model = Generator(awake(), space())
    alone, after = model.score([PARTS[1]])[0], model.score(PARTS[:2])[1]
    assert alone.prior_bits == pytest.approx(after.prior_bits)
    assert alone.bits != pytest.approx(after.bits, rel=1e-3)
    assert model.score(PARTS[:2])[0].bits == pytest.approx(model.score(PARTS[:1])[0].bits, rel=1e-4)


@PRESETS
def test_embeddings_are_of_length_one_and_tell_parts_apart(preset: Preset) -> None:
    model = Generator(awake(preset), space())
    vectors = [model.embed([each]) for each in PARTS]
    for vector in vectors:
        assert np.linalg.norm(vector) == pytest.approx(1, abs=1e-5)
        assert vector.shape == (16,)
    assert np.array_equal(vectors[0], model.embed([PARTS[0]]))
    assert all(one @ two < 0.9999 for one, two in pairwise(vectors))


def test_a_loaded_model_answers_as_the_saved_one(tmp_path: Path) -> None:
    folder.save(tmp_path, awake(), space())
    one, two = Generator(awake(), space()), Generator.load(tmp_path)
    assert np.array_equal(one.embed(PARTS), two.embed(PARTS))
    assert one.score(PARTS) == two.score(PARTS)


def test_what_cannot_be_read_is_refused() -> None:
    model = Generator(awake(), space())
    for ask in (model.score, model.embed):
        with pytest.raises(InvalidInput, match="at least one part"):
            ask([])
        with pytest.raises(InvalidInput, match=f"more than {CAPACITY} symbols"):
            ask([Part("text", bytes(range(32, 127)) * 50)])
        with pytest.raises(UnknownModality, match="text/de"):
            ask([Part("text", b"ja", role="de")])

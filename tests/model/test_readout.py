"""The readout: one alphabet at a time, and at birth the memory's own law."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from rankspace.media.sample import Modality
from rankspace.model.network import Network
from rankspace.model.presets import Preset
from rankspace.model.readout import Readout
from tests.model.networks import PRESETS, awake, born, inputs
from tests.worlds import message, messages, space

READOUT = Readout(space())
DOORS = range(len(space().alphabets))
DOOR = st.sampled_from(DOORS)


def whole_table(network: Network, mixed: Tensor, before: Tensor, gate: float) -> Tensor:
    """[N, V]: the formula over the whole vocabulary at once, in float64."""
    logits = (mixed @ network.unembedding().T).double()
    if network.log_beta is None:
        return logits
    pairs = torch.from_numpy(space().prior.bigram_table()).double()[before]
    alone = torch.from_numpy(space().prior.log_unigram()).double()
    return network.log_beta.double().exp() * (gate * pairs + (1 - gate) * alone + logits)


def reading(modality: Modality, seed: int = 0) -> tuple[Tensor, Tensor, Tensor]:
    """Ids, the doors of what follows each but the last, and what follows."""
    length = {"text": 9, "audio": 8, "image": 5, "video": 12}[modality]
    symbols = message(modality, length, np.random.default_rng(seed))
    ids = torch.from_numpy(space().ids(modality, "", symbols)).long()
    doors = torch.from_numpy(space().alphabets_of(modality, length))
    return ids[:-1], doors, ids[1:]


@PRESETS
@given(door=DOOR, gate=st.sampled_from([0.0, 0.3, 1.0]), seed=st.integers(0, 1000))
def test_odds_sum_to_one_inside_an_alphabet_and_are_those_of_the_whole_table(
    preset: Preset, door: int, gate: float, seed: int
) -> None:
    torch.manual_seed(seed)
    network, before = awake(preset), torch.randint(space().vocabulary.size, (4,))
    mixed = torch.randn(4, 16)
    logits = READOUT.logits(network, network.unembedding(), door, mixed, before, gate)
    inside = torch.from_numpy(space().alphabets[door].ids).long()
    assert logits.shape == (4, len(inside))
    told = logits.double().log_softmax(-1)
    torch.testing.assert_close(told.exp().sum(-1), torch.ones(4).double())
    table = whole_table(network, mixed, before, gate)
    # The memory is restricted before beta scales it: a constant of the alphabet, which falls out.
    everything = table.log_softmax(-1)[:, inside]
    oracle = everything - everything.logsumexp(-1, keepdim=True)
    torch.testing.assert_close(told, oracle, rtol=1e-4, atol=1e-4)


@given(message=messages(), gate=st.sampled_from([0.0, 0.3, 1.0]))
def test_losses_are_minus_ln_p_of_the_targets(
    message: tuple[Modality, np.ndarray], gate: float
) -> None:
    modality, symbols = message
    network = awake()
    ids = torch.from_numpy(space().ids(modality, "", symbols)).long()
    doors = space().alphabets_of(modality, len(symbols))
    mixed = torch.randn(len(doors), 16)
    table = whole_table(network, mixed, ids[:-1], gate)
    for door in set(doors.tolist()):
        at = torch.from_numpy(np.flatnonzero(doors == door))
        logits = READOUT.logits(network, network.unembedding(), door, mixed[at], ids[:-1][at], gate)
        told = READOUT.losses(logits, door, ids[1:][at]).double()
        inside = torch.from_numpy(space().alphabets[door].ids).long()
        norm = table[at][:, inside].logsumexp(-1)
        oracle = norm - table[at, ids[1:][at]]
        torch.testing.assert_close(told, oracle, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("modality", ["text", "audio", "image", "video"])
def test_the_birth_law(modality: Modality) -> None:
    """Before the first step the loss is the memory's own restricted cross-entropy."""
    network = born()
    before, doors, targets = reading(modality)
    symbols = space().vocabulary.to_local(
        space().codec(modality).layout, targets[:-1].numpy().astype(np.int32)
    )
    states = network.states(inputs([space().read(modality, "", symbols)]))
    mixed = network.mix(states)[0, :-1]
    for door in doors.unique().tolist():
        at = (doors == door).nonzero()[:, 0]
        logits = READOUT.logits(
            network, network.unembedding(), door, mixed[at], before[at], gate=1.0
        )
        told = READOUT.losses(logits, door, targets[at])
        mask = np.zeros(space().vocabulary.size, np.bool_)
        mask[space().alphabets[door].ids] = True
        law = space().prior.restrict(mask)
        oracle = [
            -law.log_row(np.array([b], np.int32))[t]
            for b, t in zip(before[at].tolist(), targets[at].tolist(), strict=True)
        ]
        torch.testing.assert_close(told, torch.tensor(oracle), rtol=1e-5, atol=1e-5)


def test_at_birth_with_a_closed_gate_the_unigram_speaks() -> None:
    network = born()
    for door in DOORS:
        before = torch.tensor([5])
        logits = READOUT.logits(
            network, network.unembedding(), door, torch.zeros(1, 16), before, gate=0.0
        )
        ids = torch.from_numpy(space().alphabets[door].ids).long()
        oracle = torch.from_numpy(space().prior.log_unigram())[ids].log_softmax(-1)
        torch.testing.assert_close(logits[0].log_softmax(-1), oracle, rtol=1e-5, atol=1e-5)


def test_silence_can_be_unlearnt() -> None:
    """The gradient reaches the mouth at birth, and all else one step later."""
    network = born()
    before, doors, targets = reading("text")
    ids = space().vocabulary.to_local("text", targets[:-1].numpy().astype(np.int32))
    for name in ("mouth.weight", "blocks.1.attention.out.weight", "say"):
        network.zero_grad()
        mixed = network.mix(network.states(inputs([space().read("text", "", ids)])))[0, :-1]
        logits = READOUT.logits(
            network, network.unembedding(), int(doors[0]), mixed, before, gate=1.0
        )
        READOUT.losses(logits, int(doors[0]), targets).sum().backward()
        gradient = network.get_parameter(name).grad
        assert gradient is not None
        assert gradient.abs().max() > 1e-6, name
        assert network.mouth is not None
        with torch.no_grad():
            network.mouth.weight.normal_(std=0.1)

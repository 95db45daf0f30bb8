"""Forms of the memory: what each says at birth, by the formula, and with a gradient to learn by."""

from typing import get_args

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from rankspace.model.config import Memory
from rankspace.model.memory import COUNT_BUCKETS, cap, distilled
from rankspace.model.network import Network
from rankspace.model.presets import Preset
from rankspace.model.readout import Readout
from tests.model.networks import EVERY_SWITCH, PRESETS, SWITCHES, awake, born, inputs
from tests.worlds import message, space

READOUT = Readout(space())
FORMS = pytest.mark.parametrize("form", get_args(Memory))
DOOR = 0
WHOLE = inputs([space().read("text", "", message("text", 12, np.random.default_rng(0)))])
"""A text, whose symbols all stand behind one door."""


def text_door() -> int:
    return space().alphabet_at("text", 1)


def losses(network: Network, gate: float) -> Tensor:
    """-ln p of every symbol of the text, and of its end."""
    door, mixed = text_door(), network.mix(network.states(WHOLE))[0, :-1]
    before, targets = WHOLE.symbols[0, :-1], WHOLE.symbols[0, 1:]
    logits = READOUT.logits(network, network.unembedding(), door, mixed, before, gate)
    return READOUT.losses(logits, door, targets)


@FORMS
def test_at_birth_the_memory_speaks_or_its_unigram(form: Memory) -> None:
    door = READOUT.doors[text_door()]
    before, targets = WHOLE.symbols[0, :-1], door.local[WHOLE.symbols[0, 1:]]
    context = -door.bigram[before, targets]
    oracle = -door.unigram[targets] if form in ("feature", "target", "held") else context
    torch.testing.assert_close(losses(born(memory=form), 1.0), oracle, rtol=1e-5, atol=1e-5)


@FORMS
@pytest.mark.parametrize("gate", [0.0, 0.4])
def test_each_form_is_its_formula(form: Memory, gate: float) -> None:
    network, door = awake(memory=form), READOUT.doors[text_door()]
    assert network.log_beta is not None
    mixed, before = torch.randn(5, 16), torch.tensor([5, 9, 40, 41, 5])
    beta, z = network.log_beta.exp(), mixed @ network.unembedding()[door.ids].T
    g: Tensor | float = {"annealed": gate, "full": 1.0}.get(form, 0.0)
    if network.trust.gate is not None:
        seen = torch.from_numpy(space().counts.frequencies(space().vocabulary.size))[before]
        bucket = torch.ceil(torch.log2(seen + 1.0)).long().clamp(max=COUNT_BUCKETS - 1)
        g = network.trust.gate[bucket if form == "counts" else bucket * 0][:, None]
    oracle = (beta * (z + g * door.bigram[before] + (1 - g) * door.unigram)).softmax(-1)
    if network.trust.weight is not None:
        assert network.trust.bias is not None
        share = torch.sigmoid(mixed @ network.trust.weight + network.trust.bias)[:, None]
        share = gate + (1 - gate) * share
        oracle = share * door.bigram[before].exp() + (1 - share) * oracle
    told = READOUT.logits(network, network.unembedding(), text_door(), mixed, before, gate)
    torch.testing.assert_close(told.softmax(-1), oracle, rtol=1e-3, atol=1e-5)


def test_imitation_is_least_for_who_says_what_the_memory_says() -> None:
    context = torch.randn(4, 9).log_softmax(-1)
    least = distilled(context, context)
    torch.testing.assert_close(least, torch.special.entr(context.exp()).sum(-1))
    assert (distilled(context + torch.randn(4, 9), context) > least).all()


def test_a_cap_bends_and_keeps_the_order() -> None:
    z = torch.linspace(-60, 60, 41)[None]
    bent = cap(z, 15.0)
    assert bent.abs().max() <= 15
    assert (bent.diff() >= 0).all()
    torch.testing.assert_close(cap(z / 100, 15.0), z / 100, rtol=1e-2, atol=1e-3)
    assert torch.equal(cap(z, 0.0), z)
    capped = awake(soft_cap=2.0)
    scores = READOUT.logits(
        capped, capped.unembedding(), DOOR, 50 * torch.randn(3, 16), torch.tensor([4, 4, 4]), 0.0
    )
    assert capped.log_beta is not None
    memory = capped.log_beta.exp() * READOUT.doors[DOOR].unigram
    assert (scores - memory).abs().max() <= 2.001


def finite(network: Network) -> None:
    """The gradient of the loss at birth is finite everywhere and reaches something."""
    losses(network, 0.9).mean().backward()
    grads = [weight.grad for weight in network.parameters() if weight.grad is not None]
    assert all(grad.isfinite().all() for grad in grads)
    assert any(grad.any() for grad in grads)


@PRESETS
def test_the_gradient_is_finite_at_birth_for_every_preset(preset: Preset) -> None:
    finite(born(preset))


@EVERY_SWITCH
def test_the_gradient_is_finite_at_birth_for_every_switch(name: str) -> None:
    finite(born(**SWITCHES[name]))


@FORMS
def test_odds_of_every_form_sum_to_one(form: Memory) -> None:
    network = awake(memory=form)
    for door in range(len(READOUT.doors)):
        logits = READOUT.logits(
            network, network.unembedding(), door, torch.randn(3, 16), torch.tensor([4, 7, 8]), 0.3
        )
        assert logits.isfinite().all()
        nats = torch.stack(
            [
                F.cross_entropy(logits, torch.full((3,), at), reduction="none")
                for at in range(logits.shape[1])
            ]
        )
        torch.testing.assert_close((-nats).exp().sum(0), torch.ones(3), rtol=1e-4, atol=1e-4)

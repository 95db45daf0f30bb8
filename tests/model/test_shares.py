"""Shares of a memory: fitted where they belong, neutral before, and the same law wherever read."""

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from rankspace.errors import InvalidConfig
from rankspace.model.network import Network
from rankspace.model.readout import Readout
from rankspace.model.shares import STEPS, Shares, fitted, mixture
from rankspace.ranks.vocabulary import PAD
from tests.model.networks import awake, born, config, inputs
from tests.worlds import message, space

ORDER = 4


WORLD = space(ORDER)
READOUT = Readout(WORLD)
SYMBOLS = message("text", 12, np.random.default_rng(0))
IDS = WORLD.ids("text", "", SYMBOLS)
TEXT = inputs([WORLD.read("text", "", SYMBOLS)])
DOOR = WORLD.alphabet_at("text", 1)
AT = torch.arange(len(IDS) - 1)
PAST = READOUT.past(TEXT.symbols, AT)


def logits(network: Network, before: Tensor, gate: float) -> Tensor:
    mixed = network.mix(network.states(TEXT))[0, :-1]
    return READOUT.logits(network, network.unembedding(), DOOR, mixed, before, gate)


def inside() -> Tensor:
    """[N, A]: ln p0 of the memory restricted to the text's alphabet, symbol by symbol."""
    mask = np.zeros(WORLD.vocabulary.size, np.bool_)
    mask[WORLD.alphabets[DOOR].ids] = True
    prior = WORLD.memory.restrict(mask)
    opened = np.append(np.int32(PAD), IDS)
    rows = np.array([prior.log_row(opened[: t + 2]) for t in range(len(IDS) - 1)])
    return torch.from_numpy(rows[:, WORLD.alphabets[DOOR].ids])


@given(st.integers(0, 2**32 - 1))
@settings(max_examples=20)
def test_em_finds_what_makes_what_came_most_likely(seed: int) -> None:
    random = torch.Generator().manual_seed(seed)
    memory, own = torch.rand(2, 3000, generator=random).unbind()
    group = torch.arange(3000) % 3
    memory[group == 1] *= 1.5
    memory[group == 2] *= 0.5
    found = fitted(group, memory, own, 3)
    for at in range(3):
        here = group == at
        told = [
            float((s * memory[here] + (1 - s) * own[here]).log().sum())
            for s in torch.linspace(0.001, 0.999, 999)
        ]
        assert float(found[at]) == pytest.approx((int(np.argmax(told)) + 1) / 1000, abs=0.03)


def test_each_group_gets_the_share_that_its_positions_say() -> None:
    draws, share = 60_000, torch.tensor([0.2, 0.7])
    random = torch.Generator().manual_seed(3)
    group = torch.arange(2).repeat_interleave(draws)
    heads = torch.rand(2 * draws, generator=random) < share[group] * 0.9 + (1 - share[group]) * 0.1
    memory, own = torch.where(heads, 0.9, 0.1), torch.where(heads, 0.1, 0.9)
    torch.testing.assert_close(fitted(group, memory, own, 2), share, rtol=0, atol=0.01)


def test_shares_are_of_groups_of_as_many_positions_and_outlive_a_save() -> None:
    random = torch.Generator().manual_seed(1)
    left, unsure, memory, own = torch.randn(4, 4096, generator=random)
    held = Shares()
    assert bool((held(left, unsure) == 0.5).all())
    held.fit(left, unsure, memory - 3, own - 3)
    rows = torch.bucketize(left, held.edges[0])
    assert torch.bincount(rows).tolist() == pytest.approx([4096 / STEPS] * STEPS, abs=1)
    again = Shares()
    again.load_state_dict(held.state_dict())
    assert torch.equal(again(left, unsure), held(left, unsure))
    again.fit(*torch.zeros(4, 0))
    assert torch.equal(again.table, held.table)


def test_the_past_is_that_of_the_own_part_and_begins_with_one_pad() -> None:
    two = inputs([WORLD.read("text", "", SYMBOLS), WORLD.read("text", "ru", SYMBOLS)])
    ids = two.symbols[0]
    past = READOUT.past(two.symbols, torch.arange(len(ids)))
    begin = len(IDS)
    assert past.shape == (len(ids), ORDER - 1)
    assert past[1].tolist() == [PAD, int(ids[0]), int(ids[1])]
    assert past[5].tolist() == ids[3:6].tolist()
    assert past[begin].tolist() == [PAD, PAD, int(ids[begin])]
    assert past[begin + 1].tolist() == [PAD, *ids[begin : begin + 2].tolist()]


def test_at_birth_the_memory_of_any_order_speaks() -> None:
    told = logits(born(memory="held", order=ORDER), PAST, 1.0)
    torch.testing.assert_close(told, inside(), rtol=1e-5, atol=1e-5)


def test_after_it_the_law_is_the_mixture_by_what_each_knows() -> None:
    network = awake(memory="held", order=ORDER)
    assert network.trust.held is not None
    network.trust.held.table.copy_(torch.rand(STEPS * STEPS))
    alone = logits(network, TEXT.symbols[0, :-1], 0.0).log_softmax(-1)
    left = torch.from_numpy(WORLD.memory.laws(PAST.numpy().astype(np.int32))[1]).log().float()
    share = network.trust.held(left, torch.special.entr(alone.exp()).sum(-1))[:, None]
    told = logits(network, PAST, 0.0)
    oracle = share * inside().exp() + (1 - share) * alone.exp()
    torch.testing.assert_close(told.exp(), oracle, rtol=1e-4, atol=1e-6)
    torch.testing.assert_close(told.exp().sum(-1), torch.ones(len(AT)), rtol=0, atol=1e-5)
    feature = awake(memory="feature")
    torch.testing.assert_close(alone, logits(feature, PAST[:, -1], 0.0).log_softmax(-1))


def test_what_shares_are_fitted_to_are_the_two_laws_of_what_came() -> None:
    network = awake(memory="held", order=ORDER)
    targets = TEXT.symbols[0, 1:]
    alone = logits(network, TEXT.symbols[0, :-1], 0.0)
    _, unsure, memory, own = READOUT.told(alone, DOOR, PAST, targets)
    at = READOUT.doors[DOOR].local[targets][:, None]
    torch.testing.assert_close(memory, inside().gather(1, at)[:, 0], rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(own, -READOUT.losses(alone, DOOR, targets))
    torch.testing.assert_close(unsure, torch.special.entr(alone.softmax(-1)).sum(-1))


def test_a_share_of_nothing_or_all_is_one_of_the_two() -> None:
    memory, own = torch.randn(2, 5, 9).log_softmax(-1)
    torch.testing.assert_close(mixture(torch.ones(5, 1), memory, own), memory)
    torch.testing.assert_close(mixture(torch.zeros(5, 1), memory, own), own)


def test_a_memory_of_pairs_is_the_table_of_pairs() -> None:
    pairs = Readout(space())
    past = pairs.past(TEXT.symbols, AT)
    assert torch.equal(past[:, 0], TEXT.symbols[0, :-1])
    told, _ = pairs.recalled(DOOR, past)
    torch.testing.assert_close(told, pairs.expected(DOOR, past), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    ("switches", "words"),
    [
        ({"order": 3}, "memory held"),
        ({"order": 8, "memory": "held"}, "at most 128"),
        ({"order": 1, "memory": "held"}, "greater than or equal to 2"),
    ],
)
def test_an_order_that_cannot_work_is_refused(switches: dict[str, Any], words: str) -> None:
    with pytest.raises(InvalidConfig, match=words) as refused:
        config(**switches)
    assert refused.value.field == "order"

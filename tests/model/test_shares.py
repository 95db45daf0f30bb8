"""Shares of a memory: fitted where they belong, neutral before, and the same law wherever read."""

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from rankspace.errors import InvalidConfig
from rankspace.model.document import said
from rankspace.model.network import Network
from rankspace.model.readout import Readout
from rankspace.model.shares import SEEN, STEPS, Known, Shares, fitted, gathered, mixture
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
HELD: dict[str, Any] = {"memory": "held", "order": ORDER}
BOTH = HELD | {"document": True}
PAST = READOUT.past(born(**HELD), TEXT.symbols, AT)
WHOLE = READOUT.past(born(**BOTH), TEXT.symbols, AT)


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


def drawn(positions: int, seed: int) -> Known:
    random = torch.Generator().manual_seed(seed)
    left, unsure = torch.randn(2, positions, generator=random)
    return Known(left, unsure, torch.randint(0, 5, (positions,), generator=random).float())


@given(st.integers(0, 2**32 - 1))
@settings(max_examples=20)
def test_em_finds_what_makes_what_came_most_likely(seed: int) -> None:
    random = torch.Generator().manual_seed(seed)
    told, group = torch.rand(3000, 2, generator=random), torch.arange(3000) % 3
    told[group == 1, 0] *= 1.5
    told[group == 2, 0] *= 0.5
    found = fitted(group, told, 3)
    torch.testing.assert_close(found.sum(1), torch.ones(3))
    for at in range(3):
        memory, own = told[group == at].unbind(1)
        odds = [
            float((s * memory + (1 - s) * own).log().sum())
            for s in torch.linspace(0.001, 0.999, 999)
        ]
        assert float(found[at, 0]) == pytest.approx((int(np.argmax(odds)) + 1) / 1000, abs=0.03)


def test_each_group_gets_the_shares_that_its_positions_say() -> None:
    """What comes is one of four things; each law is sure of its own, and of one together."""
    draws, share = 60_000, torch.tensor([[0.2, 0.3, 0.5], [0.7, 0.2, 0.1]])
    random = torch.Generator().manual_seed(3)
    group = torch.arange(2).repeat_interleave(draws)
    laws = torch.tensor([[0.7, 0.1, 0.1, 0.1], [0.1, 0.7, 0.1, 0.1], [0.1, 0.1, 0.7, 0.1]])
    came = torch.multinomial(share[group] @ laws, 1, generator=random)[:, 0]
    torch.testing.assert_close(fitted(group, laws.T[came], 2), share, rtol=0, atol=0.02)


def test_shares_are_of_groups_of_as_many_positions_and_outlive_a_save() -> None:
    known, told = drawn(4096, 1), torch.randn(4096, 3) - 4
    held = Shares(3)
    assert bool((held(known) == 1 / 3).all())
    held.fit(known, told)
    for row, each in enumerate((known.left, known.unsure)):
        sizes = torch.bincount(torch.bucketize(each, held.edges[row])).tolist()
        assert sizes == pytest.approx([4096 / STEPS] * STEPS, abs=1)
    assert len(held.table) == STEPS * STEPS * SEEN
    again = Shares(3)
    again.load_state_dict(held.state_dict())
    assert torch.equal(again(known), held(known))
    again.fit(drawn(0, 0), torch.zeros(0, 3))
    assert torch.equal(again.table, held.table)


def test_positions_of_many_batches_are_those_of_one() -> None:
    parts = [(drawn(n, n), torch.full((n, 2), float(n))) for n in (3, 5)]
    known, told = gathered(parts)
    assert torch.equal(told[:, 0], torch.tensor([3.0] * 3 + [5.0] * 5))
    assert torch.equal(known.seen, torch.cat([part.seen for part, _ in parts]))


def test_the_past_is_that_of_the_own_part_and_begins_with_one_pad() -> None:
    two = inputs([WORLD.read("text", "", SYMBOLS), WORLD.read("text", "ru", SYMBOLS)])
    ids, begin = two.symbols[0], len(IDS)
    past = READOUT.past(born(**HELD), two.symbols, torch.arange(len(ids)))
    assert past.shape == (len(ids), ORDER - 1)
    assert past[1].tolist() == [PAD, int(ids[0]), int(ids[1])]
    assert past[5].tolist() == ids[3:6].tolist()
    assert past[begin].tolist() == [PAD, PAD, int(ids[begin])]
    assert past[begin + 1].tolist() == [PAD, *ids[begin : begin + 2].tolist()]
    whole = READOUT.past(born(**BOTH), two.symbols, torch.arange(len(ids)))
    assert whole.shape == (len(ids), begin)
    assert torch.equal(whole[:, -(ORDER - 1) :], past)
    assert torch.equal(whole[-1], ids[begin:])


@pytest.mark.parametrize("switches", [HELD, BOTH], ids=["held", "document"])
def test_at_birth_the_memory_of_any_order_speaks(switches: dict[str, Any]) -> None:
    told = logits(born(**switches), WHOLE, 1.0)
    torch.testing.assert_close(told, inside(), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("switches", [HELD, BOTH], ids=["held", "document"])
def test_after_it_the_law_is_the_mixture_by_what_each_knows(switches: dict[str, Any]) -> None:
    network = awake(**switches)
    assert network.trust.held is not None
    network.trust.held.table.copy_(torch.rand_like(network.trust.held.table).softmax(-1))
    alone = logits(network, TEXT.symbols[0, :-1], 0.0).log_softmax(-1)
    left = torch.from_numpy(WORLD.memory.laws(PAST.numpy().astype(np.int32))[1]).log().float()
    chosen = READOUT.doors[DOOR]
    pairs, singles, seen = said(WHOLE, chosen.local, chosen.inside, inside())
    laws = [inside(), pairs, singles, alone] if switches == BOTH else [inside(), alone]
    unsure = torch.special.entr(alone.exp()).sum(-1)
    shares = network.trust.held(Known(left, unsure, seen if switches == BOTH else 0 * seen))
    oracle = sum(shares[:, at, None] * law.exp() for at, law in enumerate(laws))
    told = logits(network, WHOLE, 0.0)
    torch.testing.assert_close(told.exp(), oracle, rtol=1e-4, atol=1e-6)
    torch.testing.assert_close(told.exp().sum(-1), torch.ones(len(AT)), rtol=0, atol=1e-5)
    feature = logits(awake(memory="feature"), PAST[:, -1], 0.0)
    torch.testing.assert_close(alone, feature.log_softmax(-1))


def test_what_shares_are_fitted_to_are_the_laws_of_what_came() -> None:
    network = awake(**HELD)
    targets = TEXT.symbols[0, 1:]
    alone = logits(network, TEXT.symbols[0, :-1], 0.0)
    known, told = READOUT.told(network, alone, DOOR, PAST, targets)
    at = READOUT.doors[DOOR].local[targets][:, None]
    torch.testing.assert_close(told[:, 0], inside().gather(1, at)[:, 0], rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(told[:, 1], -READOUT.losses(alone, DOOR, targets))
    torch.testing.assert_close(known.unsure, torch.special.entr(alone.softmax(-1)).sum(-1))


def test_a_share_of_all_is_one_of_the_laws() -> None:
    laws = list(torch.randn(3, 5, 9).log_softmax(-1))
    for at, law in enumerate(laws):
        alone = torch.zeros(5, 3)
        alone[:, at] = 1
        torch.testing.assert_close(mixture(alone, laws), law)
        torch.testing.assert_close(mixture(alone, [each[:, 0] for each in laws]), law[:, 0])


def test_a_memory_of_pairs_is_the_table_of_pairs() -> None:
    pairs = Readout(space())
    past = pairs.past(born(), TEXT.symbols, AT)
    assert torch.equal(past[:, 0], TEXT.symbols[0, :-1])
    told, _ = pairs.recalled(DOOR, past)
    torch.testing.assert_close(told, pairs.expected(DOOR, past), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    ("switches", "field", "words"),
    [
        ({"order": 3}, "order", "memory held"),
        ({"order": 8, "memory": "held"}, "order", "at most 128"),
        ({"order": 1, "memory": "held"}, "order", "greater than or equal to 2"),
        ({"document": True}, "document", "memory held"),
    ],
)
def test_what_cannot_work_is_refused(switches: dict[str, Any], field: str, words: str) -> None:
    with pytest.raises(InvalidConfig, match=words) as refused:
        config(**switches)
    assert refused.value.field == field

"""The network: streamed is whole, the past is blind to the future, at birth the memory speaks."""

from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from rankspace.errors import LimitExceeded
from rankspace.media.sample import Modality
from rankspace.model.config import Kind
from rankspace.model.network import Inputs, Network
from rankspace.model.presets import Preset
from rankspace.ranks.space import Reading
from tests.model.networks import (
    CONTEXT,
    EVERY_SWITCH,
    PRESETS,
    SWITCHES,
    awake,
    born,
    config,
    cut,
    inputs,
    stirred,
)
from tests.strategies import cuttings
from tests.worlds import message, space


def readings(seed: int = 0) -> list[Reading]:
    """A picture, a sound and a text: 5 + 6 + 7 symbols and their marks."""
    random = np.random.default_rng(seed)
    kinds: list[tuple[Modality, str, int]] = [("image", "", 5), ("audio", "", 6), ("text", "ru", 7)]
    return [space().read(name, role, message(name, n, random)) for name, role, n in kinds]


def close(first: list[Tensor], second: list[Tensor]) -> None:
    for one, two in zip(first, second, strict=True):
        torch.testing.assert_close(one, two, rtol=1e-4, atol=1e-5)


@PRESETS
@settings(max_examples=15)
@given(data=st.data())
def test_streamed_in_any_pieces_is_the_same_as_read_whole(
    preset: Preset, data: st.DataObject
) -> None:
    network, whole = awake(preset), inputs(readings())
    length = whole.symbols.shape[1]
    slices = [each for each in data.draw(cuttings(length)) if each.start < each.stop]
    cache = network.cache(length)
    pieces = [network.states(cut(whole, s.start, s.stop), cache=cache) for s in slices]
    close([torch.cat(layer, 1) for layer in zip(*pieces, strict=True)], network.states(whole))
    assert cache.length == length


@PRESETS
def test_one_symbol_at_a_time_is_the_same_as_read_whole(preset: Preset) -> None:
    network, whole = awake(preset), inputs(readings())
    length = whole.symbols.shape[1]
    cache = network.cache(length)
    steps = [network.states(cut(whole, at, at + 1), cache=cache) for at in range(length)]
    close([torch.cat(layer, 1) for layer in zip(*steps, strict=True)], network.states(whole))


@PRESETS
@settings(max_examples=15)
@given(at=st.integers(1, 22), seed=st.integers(1, 1000))
def test_the_future_never_leaks_into_the_past(preset: Preset, at: int, seed: int) -> None:
    network, one, two = awake(preset), inputs(readings()), inputs(readings(seed))
    mixed = Inputs(
        torch.cat((one.symbols[:, :at], two.symbols[:, at:]), 1),
        torch.cat((one.places[:, :at], two.places[:, at:]), 1),
        torch.cat((one.buckets[:, :at], two.buckets[:, at:]), 1),
        one.times,
    )
    before = [state[:, :at] for state in network.states(one)]
    close([state[:, :at] for state in network.states(mixed)], before)
    if not torch.equal(one.symbols[:, at:], two.symbols[:, at:]):
        assert not torch.equal(network.states(one)[-1][:, at:], network.states(mixed)[-1][:, at:])


@EVERY_SWITCH
def test_every_switch_streams_and_is_blind_to_the_future(name: str) -> None:
    network, one, two = awake(**SWITCHES[name]), inputs(readings()), inputs(readings(5))
    whole, cache, cuts = network.states(one), network.cache(24), (0, 1, 7, 8, 24)
    pieces = [network.states(cut(one, *pair), cache=cache) for pair in pairwise(cuts)]
    close([torch.cat(layer, 1) for layer in zip(*pieces, strict=True)], whole)
    mixed = Inputs(
        torch.cat((one.symbols[:, :9], two.symbols[:, 9:]), 1),
        one.places,
        torch.cat((one.buckets[:, :9], two.buckets[:, 9:]), 1),
        one.times,
    )
    close([state[:, :9] for state in network.states(mixed)], [state[:, :9] for state in whole])
    assert not torch.equal(network.states(mixed)[-1][:, 9:], whole[-1][:, 9:])


NEUTRAL = (
    "length_term",
    "values",
    "first",
    "input beta",
    "supervise",
    "scalar",
    "counts",
    "full",
    "lean",
)


@pytest.mark.parametrize("name", NEUTRAL)
def test_what_is_added_changes_nothing_at_birth(name: str) -> None:
    """Every weight that both have is given; what is added is at its birth value."""
    plain, other = born(), born(seed=1, **SWITCHES[name])
    with torch.no_grad():
        for key, weight in plain.named_parameters():
            weight.normal_(std=0.3)
            other.get_parameter(key).copy_(weight)
    whole = inputs(readings())
    if name == "length_term":  # the last of C symbols is where nothing changes
        whole = cut(whole, 0, 1)
        whole = Inputs(whole.symbols, whole.places, whole.buckets, whole.times + CONTEXT - 1)
    close(other.states(whole), plain.states(whole))
    close([other.mix(other.states(whole))], [plain.mix(plain.states(whole))])


def test_each_form_of_voices_says_its_weights() -> None:
    whole = inputs(readings())
    for form in ("sum", "last", "softmax"):
        network = awake(speak=form)
        states = network.states(whole)
        assert network.mouth is not None
        voices = zip(states, network.voices(), strict=True)
        shares = [network.mouth(network.norm(state) * weight) for state, weight in voices]
        torch.testing.assert_close(sum(shares), network.mix(states), rtol=1e-4, atol=1e-5)
    assert born(speak="softmax").voices().tolist() == [0.5, 0.5]
    assert born(speak="last").voices().tolist() == [0.0, 1.0]
    assert born("gpt2").voices().tolist() == [0.0, 1.0]


def test_a_block_alone_says_what_all_would_say_if_they_were_like_it() -> None:
    whole = inputs(readings())
    for name in ("sum", "last", "softmax"):
        network = awake(speak=name)
        first = network.states(whole)[0]
        same = [first] * network.config.depth
        torch.testing.assert_close(network.alone(first), network.mix(same), rtol=1e-4, atol=1e-5)


def test_noise_grows_by_half_a_cosine() -> None:
    network = born("prism")
    heard = []
    for progress in (0.0, 0.25, 0.5, 1.0):
        network.advance(progress)
        heard.append(float(network.layers[0].attention.noise))
    assert heard == pytest.approx([0.01, 0.01 + 0.09 * (1 - 0.5**0.5) / 2, 0.055, 0.1])


@pytest.mark.parametrize("kind", ["attention", "gate", "router", "output"])
def test_a_beta_that_is_held_does_not_learn(kind: Kind) -> None:
    network = born("rank_moe" if kind == "router" else "rank", hold={kind: 0.5})
    held = network.held(kind)
    assert len(held) == (1 if kind == "output" else 2)
    assert not any(weight.requires_grad for weight in held)
    free = [weight for weight in network.parameters() if weight.requires_grad]
    assert len(free) == len(list(network.parameters())) - len(held)


def test_with_turning_positions_only_distance_counts() -> None:
    network, whole = awake(), inputs(readings())
    later = Inputs(whole.symbols, whole.places, whole.buckets, whole.times + 1000)
    for one, two in zip(network.states(whole), network.states(later), strict=True):
        torch.testing.assert_close(one, two, rtol=1e-2, atol=1e-3)


def test_symbols_that_look_alike_start_alike() -> None:
    network = born()
    assert network.look is not None
    seen = network.unembedding() - network.embed.weight
    torch.testing.assert_close(seen, network.look(torch.from_numpy(space().features)))


@PRESETS
def test_what_a_place_or_a_bucket_says_is_heard(preset: Preset) -> None:
    network, whole = awake(preset), inputs(readings())
    nothing = torch.zeros_like(whole.places)
    for other in (
        Inputs(whole.symbols, nothing, whole.buckets, whole.times),
        Inputs(whole.symbols, whole.places, nothing, whole.times),
    ):
        heard = not torch.equal(network.read(whole), network.read(other))
        assert heard == network.config.prior


@pytest.mark.parametrize("rotary", [True, False])
def test_every_block_speaks(rotary: bool) -> None:
    """The sum is linear in the blocks: each block's share alone sums to what they say together."""
    features = torch.from_numpy(space().features)
    network = stirred(Network(config().model_copy(update={"rotary": rotary}), features))
    states = network.states(inputs(readings()))
    assert network.say is not None
    assert network.mouth is not None
    together = network.mix(states)
    shares = [
        network.mouth(network.norm(state) * say / len(states))
        for state, say in zip(states, network.say, strict=True)
    ]
    torch.testing.assert_close(sum(shares), together, rtol=1e-4, atol=1e-5)
    assert all(share.abs().mean() > 0.01 for share in shares)


def test_only_the_last_block_speaks_in_the_plain_preset() -> None:
    network = awake("gpt2")
    states = network.states(inputs(readings()))
    assert torch.equal(network.mix([torch.zeros_like(states[0]), states[-1]]), network.mix(states))


def test_a_network_is_born_silent() -> None:
    network = born()
    states = network.states(inputs(readings()))
    assert torch.equal(states[0], states[-1])
    assert not network.mix(states).any()


def test_one_seed_gives_one_network() -> None:
    one, two, other = born(seed=1), born(seed=1), born(seed=2)
    same = [torch.equal(*pair) for pair in zip(one.parameters(), two.parameters(), strict=True)]
    assert all(same)
    assert not torch.equal(one.embed.weight, other.embed.weight)


def test_betas_have_names_and_are_one_where_nothing_was_learnt() -> None:
    birth = 1.2 * 8**0.5
    told = born().betas()
    assert told.pop("attention/0") == pytest.approx(birth)
    assert told.pop("attention/1") == pytest.approx(birth)
    assert told == {"output": 1.0, "feedforward/0": 1.0, "feedforward/1": 1.0}
    assert born("gpt2").betas() == {"output": 1.0}


def test_dropout_is_silent_outside_of_training() -> None:
    network = Network(config().model_copy(update={"dropout": 0.5, "features": 0}))
    with torch.no_grad():
        network.get_parameter("blocks.0.feedforward.out.weight").normal_()
    whole = inputs(readings())
    first, second = network.states(whole), network.states(whole)
    assert not torch.equal(first[-1], second[-1])
    network.eval()
    assert torch.equal(network.states(whole)[-1], network.states(whole)[-1])


def test_a_cache_holds_no_more_than_its_capacity() -> None:
    cache = awake().cache(10)
    awake().states(cut(inputs(readings()), 0, 8), cache=cache)
    cache.reserve(2)
    with pytest.raises(LimitExceeded, match="would hold 11 symbols and may hold 10"):
        cache.reserve(3)


def test_some_positions_read_what_others_hold_while_training_alone() -> None:
    network, whole = born(noise=0.25), inputs(readings())
    plain = network.eval().read(whole)
    told = network.train().read(whole)[0]
    same = (told == plain[0]).all(-1)
    assert 0.6 < float(same.float().mean()) < 0.95
    held = {tuple(row.tolist()) for row in plain[0]}
    assert all(tuple(row.tolist()) in held for row in told)

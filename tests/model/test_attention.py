"""Attention: by the formula, with a beta that says how sharply a head looks."""

import math
from typing import get_args

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor
from torch.profiler import ProfilerActivity, profile

from rankspace.model.attention import Attention
from rankspace.model.positions import rotate, table
from rankspace.model.presets import Preset
from rankspace.model.scene import Scene, scene
from tests.model.networks import CONTEXT, config


def by_hand(layer: Attention, x: Tensor) -> Tensor:
    """Softmax of beta times the cosine, over what came before; no positions."""
    assert layer.log_beta is not None
    parts = layer.qkv(x).unflatten(-1, (3, layer.heads, -1)).permute(2, 0, 3, 1, 4)
    q, k, v = parts.unbind(0)
    q, k = (F.normalize(each - each.mean(-1, keepdim=True), dim=-1) for each in (q, k))
    scores = layer.log_beta.exp()[:, None, None] * (q @ k.transpose(-1, -2))
    future = torch.ones(x.shape[1], x.shape[1], dtype=torch.bool).triu(1)
    p = scores.masked_fill(future, -math.inf).softmax(-1)
    return layer.out((p @ v).transpose(1, 2).flatten(2))


@given(seed=st.integers(0, 1000))
def test_scores_are_beta_times_the_cosine(seed: int) -> None:
    torch.manual_seed(seed)
    layer, x = Attention(config()), torch.randn(2, 5, 16)
    assert layer.log_beta is not None
    with torch.no_grad():
        layer.log_beta.normal_()
        # Close, not equal: the norm keeps a little under its root, so a cosine is never quite one.
        torch.testing.assert_close(layer(x, Scene()), by_hand(layer, x), rtol=5e-3, atol=5e-3)


def test_beta_grows_sharper_until_one_symbol_is_seen() -> None:
    layer, x = Attention(config()), torch.randn(1, 5, 16)
    assert layer.log_beta is not None
    with torch.no_grad():
        layer.log_beta.fill_(-20.0)
        values = layer.qkv(x).chunk(3, dim=-1)[2]
        means = values.cumsum(1) / torch.arange(1, 6)[:, None]
        torch.testing.assert_close(layer(x, Scene()), layer.out(means), rtol=1e-3, atol=1e-4)
        layer.log_beta.fill_(12.0)
        sharp = layer(x, Scene())
        layer.log_beta.fill_(14.0)
        torch.testing.assert_close(layer(x, Scene()), sharp, rtol=1e-3, atol=1e-4)


def test_the_plain_preset_is_scaled_by_the_root_of_the_head_width() -> None:
    layer, x = Attention(config("gpt2")), torch.randn(2, 5, 16)
    assert layer.log_beta is None
    q, k, v = layer.qkv(x).unflatten(-1, (3, 2, -1)).permute(2, 0, 3, 1, 4).unbind(0)
    future = torch.ones(5, 5, dtype=torch.bool).triu(1)
    p = (q @ k.transpose(-1, -2) / 8**0.5).masked_fill(future, -math.inf).softmax(-1)
    told = layer.out((p @ v).transpose(1, 2).flatten(2))
    torch.testing.assert_close(layer(x, Scene()), told, rtol=1e-4, atol=1e-5)


@given(seed=st.integers(0, 1000), shift=st.integers(0, 500))
def test_turned_products_depend_on_the_distance_only(seed: int, shift: int) -> None:
    torch.manual_seed(seed)
    q, k = torch.randn(1, 1, 1, 8), torch.randn(1, 1, 1, 8)

    def product(early: int, late: int) -> Tensor:
        one, two = (table(torch.tensor([[time]]), 4) for time in (late, early))
        return (rotate(q, one) * rotate(k, two)).sum()

    torch.testing.assert_close(product(3, 10), product(3 + shift, 10 + shift), rtol=1e-3, atol=1e-3)


def test_turning_keeps_lengths_and_leaves_half_of_a_head_alone() -> None:
    x = torch.randn(2, 2, 5, 8)
    turned = rotate(x, table(torch.arange(5).repeat(2, 1), 4))
    torch.testing.assert_close(turned.norm(dim=-1), x.norm(dim=-1))
    assert torch.equal(turned[..., 4:], x[..., 4:])
    assert torch.equal(turned[:, :, 0], x[:, :, 0])
    assert not torch.equal(turned[:, :, 1:, :4], x[:, :, 1:, :4])


@pytest.mark.parametrize("name", ["qkv.weight", "out.weight", "log_beta"])
def test_every_weight_learns(name: str) -> None:
    layer = Attention(config())
    layer(
        torch.randn(1, 5, 16), Scene(turns=table(torch.arange(5)[None], 4))
    ).square().sum().backward()
    gradient = layer.get_parameter(name).grad
    assert gradient is not None
    assert gradient.abs().sum() > 0


def test_over_n_symbols_beta_is_as_many_times_ln_n() -> None:
    """Scalable-Softmax: at the context of training nothing changes, before it heads look wider."""
    layer = Attention(config(length_term=True)).eval()
    plain = Attention(config())
    plain.load_state_dict(layer.state_dict())
    x = torch.randn(1, 9, 16)
    for n in (2, 9, CONTEXT):
        told = scene(config(length_term=True), torch.full((1, 9), n - 1), None)
        assert told.length is not None
        told.turns = None
        with torch.no_grad():
            assert plain.log_beta is not None
            assert layer.log_beta is not None
            plain.log_beta.copy_(layer.log_beta + math.log(math.log(n) / math.log(CONTEXT)))
            torch.testing.assert_close(layer(x, told), plain(x, Scene()), rtol=1e-4, atol=1e-5)


def test_a_law_of_scores_from_chance_keeps_its_entropy_share_as_it_grows_long() -> None:
    """What ln n is for: without it, entropy approaches ln n as n grows."""
    scores = 4 * torch.randn(64, 4096)
    spread = []
    for power in (0, 1):
        shares = []
        for n in (64, 4096):
            law = ((math.log(n) / math.log(64)) ** power * scores[:, :n]).softmax(-1)
            shares.append(float(torch.special.entr(law).sum(-1).mean()) / math.log(n))
        spread.append(shares[1] - shares[0])
    assert spread[0] > 0.05
    assert spread[1] < spread[0]


def test_a_tied_head_reads_asks_and_answers_by_one_code() -> None:
    layer, x = Attention(config("crate")), torch.randn(2, 5, 16)
    code = layer.qkv(x).unflatten(-1, (2, -1)).transpose(1, 2)
    future = torch.ones(5, 5, dtype=torch.bool).triu(1)
    p = (code @ code.mT / 8**0.5).masked_fill(future, -math.inf).softmax(-1)
    told = layer.out((p @ code).transpose(1, 2).flatten(2))
    torch.testing.assert_close(layer(x, Scene()), told, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("preset", get_args(Preset))
def test_the_fused_kernel_and_the_written_table_agree_and_the_kernel_is_used(
    preset: Preset,
) -> None:
    """Every form is plain attention over its queries, keys and values."""
    made = config(preset)
    layer, x = Attention(made), torch.randn(1, 12, 16)
    told = scene(made, torch.arange(12)[None], torch.ones(1, 1, 12, 12, dtype=torch.bool).tril())
    written = layer(x, told)
    with torch.no_grad(), profile(activities=[ProfilerActivity.CPU]) as ran:
        fused = layer(x, told)
    torch.testing.assert_close(fused, written, rtol=1e-3, atol=1e-4)
    assert any("scaled_dot_product_attention" in event.key for event in ran.key_averages())


def test_values_of_the_first_block_are_blended_in() -> None:
    layer, told, x = Attention(config(value_residual=True)), Scene(), torch.randn(1, 5, 16)
    assert layer.blend is not None
    alone = layer(x, told)
    with torch.no_grad():
        layer.blend.copy_(torch.tensor([0.0, 1.0]))
    torch.testing.assert_close(layer(x, told), alone)
    assert told.values is not None
    told.values = torch.zeros_like(told.values)
    assert not layer(x, told).any()


@given(base=st.sampled_from([100.0, 1e4, 1e4 * math.pi]), pair=st.integers(0, 3))
def test_heads_of_two_bases_turn_at_speeds_whose_ratio_is_known(base: float, pair: int) -> None:
    other = base / math.pi**2
    turns = table(torch.tensor([[1]]), 8, (base, other))
    speed = torch.atan2(turns[1], turns[0])[0, :, 0, pair]
    assert float(speed[1] / speed[0]) == pytest.approx(math.pi ** (4 * pair / 8), rel=1e-4)

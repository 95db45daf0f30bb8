"""Attention: by the formula, with a beta that says how sharply a head looks."""

import math

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from rankspace.model.attention import Attention
from rankspace.model.positions import rotate, table
from rankspace.model.scene import Scene
from tests.model.networks import config


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

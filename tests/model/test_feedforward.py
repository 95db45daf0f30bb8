"""The gate: folding beta into the matrices is the plain formula, for any beta."""

import math
from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from rankspace.model.feedforward import FeedForward
from tests.model.networks import config


@given(seed=st.integers(0, 1000), spread=st.floats(0, 2))
def test_folding_beta_changes_nothing(seed: int, spread: float) -> None:
    torch.manual_seed(seed)
    layer, x = FeedForward(config()), torch.randn(2, 3, 16)
    assert layer.log_beta is not None
    with torch.no_grad():
        layer.log_beta.normal_(std=spread)
        gate, value = layer.inner(x).chunk(2, dim=-1)
        plain = layer.out(gate * torch.sigmoid(layer.log_beta.exp() * gate) * value)
        torch.testing.assert_close(layer(x), plain, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", ["inner.weight", "out.weight", "log_beta"])
def test_folding_beta_changes_no_gradient(name: str) -> None:
    layer, x = FeedForward(config()), torch.randn(2, 3, 16)
    assert layer.log_beta is not None
    with torch.no_grad():
        layer.log_beta.normal_()
    weight = layer.get_parameter(name)
    gate, value = layer.inner(x).chunk(2, dim=-1)
    plain = layer.out(gate * torch.sigmoid(layer.log_beta.exp() * gate) * value)
    told = torch.autograd.grad(plain.square().sum(), weight)[0]
    found = torch.autograd.grad(layer(x).square().sum(), weight)[0]
    torch.testing.assert_close(found, told, rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize(("log_beta", "gate"), [(-12.0, lambda g: g / 2), (9.0, F.relu)])
def test_beta_reaches_from_half_the_identity_to_a_relu(
    log_beta: float, gate: Callable[[Tensor], Tensor]
) -> None:
    layer, x = FeedForward(config()), torch.randn(2, 3, 16)
    assert layer.log_beta is not None
    with torch.no_grad():
        layer.log_beta.fill_(log_beta)
        before, value = layer.inner(x).chunk(2, dim=-1)
        torch.testing.assert_close(layer(x), layer.out(gate(before) * value), rtol=0.01, atol=1e-3)


@given(seed=st.integers(0, 1000))
def test_a_beta_of_the_input_is_bounded_and_is_the_formula(seed: int) -> None:
    torch.manual_seed(seed)
    layer, x = FeedForward(config(gate_beta="input")), torch.randn(2, 3, 16)
    assert layer.log_beta is not None
    assert layer.sense is not None
    with torch.no_grad():
        layer.log_beta.normal_()
        layer.sense.normal_(std=3.0)
        factor = torch.tanh(x @ layer.sense).exp()
        assert math.exp(-1) <= float(factor.min()) <= float(factor.max()) <= math.e
        gate, value = layer.inner(x).chunk(2, dim=-1)
        beta = layer.log_beta.exp() * factor[..., None]
        plain = layer.out(gate * torch.sigmoid(beta * gate) * value)
        torch.testing.assert_close(layer(x), plain, rtol=1e-3, atol=1e-4)
        told = layer.gate(x)
        assert told is not None
        torch.testing.assert_close(told, beta * gate, rtol=1e-4, atol=1e-5)


def test_a_squared_layer_is_two_matrices_and_a_relu_squared() -> None:
    layer, x = FeedForward(config(gated=False, squared=True)), torch.randn(2, 3, 16)
    torch.testing.assert_close(layer(x), layer.out(F.relu(layer.inner(x)) ** 2))
    assert layer.gate(x) is None


def test_the_plain_preset_is_two_matrices_and_a_gelu() -> None:
    layer, x = FeedForward(config("gpt2")), torch.randn(2, 3, 16)
    assert len(list(layer.parameters())) == 2
    torch.testing.assert_close(layer(x), layer.out(F.gelu(layer.inner(x))))

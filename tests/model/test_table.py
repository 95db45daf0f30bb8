"""Attention in few passes: the same outcome and the same gradients as the plain form."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from rankspace.model.attention import Attention
from rankspace.model.presets import Preset
from rankspace.model.scene import scene
from rankspace.model.table import attend
from tests.model.networks import PRESETS, config


def drawn(seed: int) -> tuple[list[Tensor], Tensor]:
    """Queries, keys and values in float64, and a mask in which every symbol sees itself."""
    torch.manual_seed(seed)
    shapes = [(2, 3, 5, 4), (2, 3, 5, 4), (2, 3, 5, 4)]
    tensors = [torch.randn(shape, dtype=torch.float64, requires_grad=True) for shape in shapes]
    mask = (torch.rand(2, 1, 5, 5) < 0.6) | torch.eye(5, dtype=torch.bool)
    return tensors, mask


@given(seed=st.integers(0, 1000))
def test_it_is_softmax_over_what_may_be_seen(seed: int) -> None:
    (q, k, v), mask = drawn(seed)
    oracle = (q @ k.mT).masked_fill(~mask, -torch.inf).softmax(-1) @ v
    torch.testing.assert_close(attend(q, k, v, mask), oracle)


@pytest.mark.parametrize("seed", range(3))
def test_its_derivative_is_that_of_finite_differences(seed: int) -> None:
    tensors, mask = drawn(seed)
    assert torch.autograd.gradcheck(lambda q, k, v: attend(q, k, v, mask), tensors)


@PRESETS
def test_a_layer_learns_the_same_either_way(preset: Preset) -> None:
    grads = []
    for lean in (False, True):
        torch.manual_seed(0)
        made = config(preset, lean=lean)
        layer, x = Attention(made), torch.randn(2, 9, 16)
        mask = torch.ones(2, 1, 9, 9, dtype=torch.bool).tril()
        layer(x, scene(made, torch.arange(9).expand(2, -1), mask)).square().sum().backward()
        grads.append([weight.grad for weight in layer.parameters()])
    for one, two in zip(*grads, strict=True):
        torch.testing.assert_close(one, two, rtol=1e-3, atol=1e-5)

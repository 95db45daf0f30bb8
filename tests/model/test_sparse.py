"""The sparse code: a step of ISTA goes down its objective, and most of a code is nothing."""

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from rankspace.model.presets import Preset
from rankspace.model.sparse import ETA, THRESHOLD, Sparse
from tests.model.networks import born, config

WIDTH = 32


def layer(preset: Preset, seed: int = 0) -> Sparse:
    """A layer whose dictionary is drawn as at birth, as wide as its preset has it."""
    torch.manual_seed(seed)
    hidden = WIDTH * (2 if preset == "prism" else 4)
    found = Sparse(config(preset, WIDTH, hidden=hidden))
    torch.nn.init.normal_(found.code.weight, std=(2 / WIDTH) ** 0.5)
    return found


def cost(sparse: Sparse, x: Tensor, a: Tensor) -> Tensor:
    """1/2 |x - D a|^2 + lambda |a|_1 of every row."""
    back = F.linear(a, sparse.code.weight.T)
    return 0.5 * (x - back).square().sum(-1) + THRESHOLD * a.sum(-1)


@torch.no_grad()
@given(seed=st.integers(0, 1000))
def test_every_step_goes_down_the_objective(seed: int) -> None:
    sparse = layer("crate", seed)
    x, nothing = torch.randn(4, 5, WIDTH), torch.zeros(4, 5, 4 * WIDTH)
    sparse.steps = 1
    one = cost(sparse, x, sparse.encode(x))
    sparse.steps = 2
    two = cost(sparse, x, sparse.encode(x))
    assert (one < cost(sparse, x, nothing)).all()
    assert (two < one).all()


@torch.no_grad()
@pytest.mark.parametrize("preset", ["prism", "crate"])
def test_the_code_is_the_formula_and_is_sparse(preset: Preset) -> None:
    sparse, x = layer(preset), F.layer_norm(torch.randn(8, 50, WIDTH), (WIDTH,))
    words = sparse.code.weight.T  # [D, F]
    a = F.relu(ETA * (x @ words) - ETA * THRESHOLD)
    if preset == "crate":
        a = F.relu(a - ETA * ((a @ words.T - x) @ words) - ETA * THRESHOLD)
    torch.testing.assert_close(sparse.encode(x), a, rtol=1e-4, atol=1e-5)
    assert float((a == 0).float().mean()) > 0.5


def test_a_higher_threshold_leaves_fewer_words() -> None:
    sparse, x = layer("prism"), torch.randn(2, 20, WIDTH)
    left = []
    for sparse.threshold in (0.0, 0.5, 2.0):
        left.append(float((sparse.encode(x) > 0).float().mean()))
    assert left == sorted(left, reverse=True)
    assert left[0] > 2 * left[-1]


def test_prism_reads_with_the_words_it_writes_with_and_crate_does_not() -> None:
    assert [name for name, _ in layer("prism").named_parameters()] == ["code.weight"]
    assert {name for name, _ in layer("crate").named_parameters()} == {"code.weight", "out.weight"}
    for preset in ("prism", "crate"):
        weight = born(preset).get_parameter("blocks.0.feedforward.code.weight")
        assert float(weight.detach().std()) == pytest.approx((2 / 16) ** 0.5, rel=0.15)

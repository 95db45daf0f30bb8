"""Coding rate, ranks and the laws of heads that go along the gradient of the coding rate."""

import math

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from rankspace.model import rates
from rankspace.model.attention import Attention
from rankspace.model.scene import Scene
from tests.model.networks import config

WIDTH, HEADS, COUNT = 32, 4, 64
SEEDS = st.integers(0, 10_000)


def draw(seed: int) -> tuple[Tensor, Tensor]:
    """Unit rows [N, D] near a few directions, and dictionaries [K, P, D] of orthogonal heads."""
    random = torch.Generator().manual_seed(seed)
    basis = torch.linalg.qr(torch.randn(WIDTH, WIDTH, generator=random)).Q
    centres = torch.randn(6, WIDTH, generator=random)
    kind = torch.randint(6, (COUNT,), generator=random)
    rows = centres[kind] + 0.5 * torch.randn(COUNT, WIDTH, generator=random)
    return F.normalize(rows, dim=-1), basis.T.reshape(HEADS, -1, WIDTH)


@given(seed=SEEDS)
def test_the_rate_is_that_of_the_definition(seed: int) -> None:
    rows, _ = draw(seed)
    inner = torch.eye(COUNT) + WIDTH / (COUNT * 0.25) * rows @ rows.T  # the other side of Sylvester
    oracle = 0.5 * torch.linalg.eigvalsh(inner.double()).log().sum()
    torch.testing.assert_close(rates.coding_rate(rows).double(), oracle, rtol=1e-4, atol=1e-4)


@given(seed=SEEDS)
def test_rows_that_are_all_the_same_need_the_least(seed: int) -> None:
    rows, _ = draw(seed)
    same = rows[:1].expand(COUNT, -1)
    least = 0.5 * math.log1p(WIDTH / 0.25)
    assert float(rates.coding_rate(same)) == pytest.approx(least, rel=1e-4)
    assert float(rates.coding_rate(rows)) > least


def attended(rows: Tensor, heads: Tensor, sharp: float = 1.0) -> Tensor:
    """MSSA by the layer itself: the dictionaries are its code, their transpose its way out."""
    layer = Attention(config("crate", WIDTH, heads=HEADS, rotary=False))
    with torch.no_grad():
        layer.qkv.weight.copy_(heads.reshape(WIDTH, WIDTH) * sharp)
        layer.out.weight.copy_(heads.reshape(WIDTH, WIDTH).T / sharp)
        everyone = torch.ones(1, 1, len(rows), len(rows), dtype=torch.bool)
        return layer(rows[None], Scene(mask=everyone))[0]


@given(seed=SEEDS)
def test_heads_go_down_the_compressed_rate_with_the_residual_and_not_without(seed: int) -> None:
    """The step is MSSA(Z) - sum_k U_k U_k^T Z; the bare output points the other way."""
    rows, heads = draw(seed)
    leaf = rows.clone().requires_grad_()
    rates.compressed_rate(leaf, heads).backward()
    assert leaf.grad is not None
    bare = attended(rows, heads)
    step = bare - sum((rows @ head.T) @ head for head in heads)
    assert F.cosine_similarity(-leaf.grad.flatten(), step.flatten(), dim=0) > 0.5
    assert F.cosine_similarity(-leaf.grad.flatten(), bare.flatten(), dim=0) < 0


@given(seed=SEEDS)
def test_heads_and_norm_lower_the_compressed_rate(seed: int) -> None:
    rows, heads = draw(seed)
    moved = F.normalize(rows + attended(rows, heads, sharp=4.0), dim=-1)
    assert rates.compressed_rate(moved, heads) < rates.compressed_rate(rows, heads)


def test_noise_heads_go_the_other_way() -> None:
    """Their share of the layer is -lambda times what the same heads would say as signal."""
    layer = Attention(config("prism", WIDTH, heads=HEADS, noise_heads=2, rotary=False))
    x = torch.randn(1, 7, WIDTH)
    with torch.no_grad():
        layer.noise.fill_(0.0)
        signal = layer(x, Scene())
        layer.noise.fill_(0.3)
        both = layer(x, Scene())
        layer.quiet = HEADS
        everything = layer(x, Scene())
    torch.testing.assert_close(both - signal, -0.3 * (everything - signal), rtol=1e-3, atol=1e-5)


def test_ranks_of_a_matrix_that_is_known() -> None:
    basis = torch.linalg.qr(torch.randn(64, 64).double()).Q
    centred = basis - basis.mean(0)  # directions stay apart but for one
    sigma = rates.singular(centred[:, :3] @ torch.diag(torch.tensor([1.0, 0.05, 0.0]).double()))
    assert rates.deficit(sigma, 1e-1) == pytest.approx(2 / 3)
    assert rates.deficit(sigma, 1e-2) == pytest.approx(1 / 3)
    even = rates.effective_rank(torch.ones(5).double())
    assert even == pytest.approx(5)
    assert rates.effective_rank(torch.tensor([1.0, 0.0, 0.0]).double()) == pytest.approx(1)
    assert rates.effective_rank(torch.zeros(3).double()) == 0


@given(seed=SEEDS, common=st.floats(0, 100))
def test_what_all_rows_have_in_common_changes_no_rank(seed: int, common: float) -> None:
    rows, _ = draw(seed)
    one, two = rates.singular(rows), rates.singular(rows.double() + common)
    assert rates.effective_rank(one) == pytest.approx(rates.effective_rank(two), rel=1e-3)


def test_the_cosine_is_the_mean_over_pairs() -> None:
    rows, _ = draw(1)
    table = rows.double() @ rows.double().T
    oracle = (table.sum() - table.trace()) / (COUNT * (COUNT - 1))
    assert rates.cosine(rows) == pytest.approx(float(oracle))
    assert rates.cosine(rows[:1].expand(9, -1)) == pytest.approx(1)

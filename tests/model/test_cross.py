"""The loss in one pass: cross-entropy and its gradient, as written out by torch."""

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from rankspace.model.cross import cross
from rankspace.model.native import passes

HERE = pytest.mark.skipif(passes() is None, reason="no C++ compiler, or no AVX-512")


@HERE
@settings(max_examples=20)
@given(count=st.integers(1, 300), alphabet=st.integers(2, 90), seed=st.integers(0, 99))
def test_it_is_the_cross_entropy_and_its_gradient(count: int, alphabet: int, seed: int) -> None:
    found = passes()
    assert found is not None
    torch.manual_seed(seed)
    symbols = (torch.randn(alphabet, 16) / 4).bfloat16().float().requires_grad_()
    mixed = torch.randn(count, 16).bfloat16().float().requires_grad_()
    beta = (torch.rand(()) + 0.5).requires_grad_()
    unigram, weights = torch.randn(alphabet).log_softmax(-1), torch.rand(count)
    targets = torch.randint(alphabet, (count,))
    truth = F.cross_entropy(
        beta * (mixed @ symbols.T + unigram), targets, reduction="none", label_smoothing=0.0
    )
    wanted = torch.autograd.grad(3 * (truth * weights).sum(), (symbols, mixed, beta))
    loss, nats = cross(found, symbols, mixed, beta, (unigram, targets, weights))
    told = torch.autograd.grad(3 * loss, (symbols, mixed, beta))
    torch.testing.assert_close(nats, truth.detach(), rtol=0.01, atol=0.03)
    torch.testing.assert_close(loss, (truth * weights).sum(), rtol=0.01, atol=0.02)
    for grad, exactly in zip(told, wanted, strict=True):
        assert (grad - exactly).norm() < 0.02 * exactly.norm() + 0.01


@HERE
def test_what_is_no_number_is_not_hidden() -> None:
    found = passes()
    assert found is not None
    mixed = torch.randn(5, 16)
    mixed[2] = torch.nan
    told = (torch.zeros(7), torch.arange(5), torch.ones(5))
    loss, nats = cross(found, torch.randn(7, 16), mixed, torch.tensor(1.0), told)
    assert loss.isnan()
    assert nats.isnan().tolist() == [False, False, True, False, False]

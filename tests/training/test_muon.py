"""Muon: torch's own but for rounding, and an update that turns every way alike."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from rankspace.model.native import passes
from rankspace.training.muon import Muon, orthogonal, turned

HERE = pytest.mark.skipif(passes() is None, reason="no C++ compiler, or no AVX-512")
LONG = st.sampled_from([1, 5, 32, 40, 96, 300, 700])
SHAPES = st.lists(st.tuples(st.integers(1, 24), st.integers(1, 24)), min_size=1, max_size=6)


@given(SHAPES, st.integers(0, 1000), st.booleans())
def test_it_is_that_of_torch_but_for_rounding(
    shapes: list[tuple[int, int]], seed: int, compiled: bool
) -> None:
    random = torch.Generator().manual_seed(seed)
    born = [torch.randn(shape, generator=random) for shape in shapes]
    theirs, ours = ([torch.nn.Parameter(one.clone()) for one in born] for _ in range(2))
    optimizers = [
        kind(weights, lr=0.05, momentum=0.95, weight_decay=0.01)
        for kind, weights in ((torch.optim.Muon, theirs), (Muon, ours))
    ]
    ours_by_passes = optimizers[1]
    assert isinstance(ours_by_passes, Muon)
    ours_by_passes.passes = passes() if compiled else None
    for _ in range(3):
        for one, other in zip(theirs, ours, strict=True):
            one.grad = torch.randn(one.shape, generator=random)
            other.grad = one.grad.clone()
        for optimizer in optimizers:
            optimizer.step()
    for one, other in zip(theirs, ours, strict=True):
        assert torch.allclose(one, other, atol=0.01)
    states = [optimizer.state_dict()["state"] for optimizer in optimizers]
    for at, held in states[0].items():
        told = states[1][at]["momentum_buffer"]
        assert torch.allclose(
            held["momentum_buffer"], told, rtol=1e-5 * compiled, atol=1e-6 * compiled
        )


def test_a_weight_without_a_gradient_stays() -> None:
    weights = [torch.nn.Parameter(torch.ones(3, 3)) for _ in range(2)]
    weights[0].grad = torch.eye(3)
    Muon(weights, lr=0.1).step()
    assert not torch.equal(weights[0], torch.ones(3, 3))
    assert torch.equal(weights[1], torch.ones(3, 3))


def test_singular_values_come_near_one() -> None:
    made = torch.randn(5, 16, 40, generator=torch.Generator().manual_seed(0))
    values = torch.linalg.svdvals(orthogonal(made).float())
    assert values.min() > 0.6
    assert values.max() < 1.3


@HERE
@settings(max_examples=20)
@given(shape=st.tuples(LONG, LONG), seed=st.integers(0, 99), spread=st.sampled_from([0.0, 2.0]))
def test_passes_have_the_same_factor_but_for_rounding(
    shape: tuple[int, int], seed: int, spread: float
) -> None:
    """Wide and tall, of even singular values and of such that fall off by e^-spread a row."""
    found = passes()
    assert found is not None
    random = torch.Generator().manual_seed(seed)
    made = torch.randn(shape, generator=random) * torch.exp(
        -spread * torch.rand(shape[0], 1, generator=random)
    )
    update = made.bfloat16()
    norm = update.float().norm().bfloat16()
    wide = update if shape[0] <= shape[1] else update.T
    truth = orthogonal(wide[None], norm[None])[0].float()
    (told,) = turned(found, [update.clone()], norm[None])
    told = told.float() if shape[0] <= shape[1] else told.float().T
    assert float((told - truth).norm()) < 0.02 * float(truth.norm())

"""Compiled passes: made once, kept where the user's caches are, and missed by nobody."""

import os
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from rankspace.compiled import library
from rankspace.model import native

HERE = pytest.mark.skipif(native.passes() is None, reason="no C++ compiler, or no AVX-512")


@pytest.fixture
def anew() -> Iterator[Callable[[], native.Passes | None]]:
    """Looks for the passes as a new process would."""

    def look() -> native.Passes | None:
        library.cache_clear()
        return native.passes.__wrapped__()

    yield look
    library.cache_clear()


@HERE
def test_passes_are_compiled_once_and_kept_for_the_user_alone(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    anew: Callable[[], native.Passes | None],
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert anew() is not None
    (made,) = (tmp_path / "rankspace").iterdir()
    assert stat.S_IMODE(made.parent.stat().st_mode) == 0o700
    when = made.stat().st_mtime_ns
    assert anew() is not None
    assert made.stat().st_mtime_ns == when


def test_without_a_compiler_or_a_place_there_are_none(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    anew: Callable[[], native.Passes | None],
) -> None:
    (tmp_path / "rankspace").write_text("no folder")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert anew() is None
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("PATH", os.devnull)
    assert anew() is None


@HERE
def test_a_tensor_with_gaps_is_refused() -> None:
    found = native.passes()
    assert found is not None
    with pytest.raises(ValueError, match="has gaps"):
        found.run("gather", torch.zeros(4, 4)[:, ::2])


SIZE = st.sampled_from([1, 7, 32, 33, 64, 100, 600, 1100])


@HERE
@settings(max_examples=40)
@given(shape=st.tuples(SIZE, SIZE, SIZE), seed=st.integers(0, 99), tiles=st.booleans())
def test_the_gradient_of_a_weight_is_the_product(
    shape: tuple[int, int, int], seed: int, tiles: bool
) -> None:
    found = native.passes()
    assert found is not None
    count, out, width = shape
    random = torch.Generator().manual_seed(seed)
    dy, x = (torch.randn(count, each, generator=random).bfloat16() for each in (out, width))
    had = found.tiles
    found.tiles = had and tiles
    told = native.weigh(found, dy, x)
    found.tiles = had
    truth = dy.double().T @ x.double()
    exact = 1e-5 if had and tiles else 1e-2
    assert told.dtype == torch.float32
    assert float((told - truth).norm()) <= exact * float(truth.norm())


@HERE
def test_what_is_no_number_is_in_the_product() -> None:
    found = native.passes()
    assert found is not None
    dy, x = torch.ones(40, 3).bfloat16(), torch.ones(40, 5).bfloat16()
    dy[33, 1], x[2, 4] = torch.nan, torch.inf
    told = native.weigh(found, dy, x)
    assert told[1].isnan().all()
    assert told[[0, 2]][:, :4].eq(40).all()
    assert told[[0, 2], 4].isinf().all()


@contextmanager
def using(tiles: bool) -> Iterator[native.Passes]:
    """The passes, with tiles where there are any or without."""
    found = native.passes()
    assert found is not None
    had = found.tiles
    found.tiles = had and tiles
    yield found
    found.tiles = had


def drawn(seed: int, *shape: int) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def near(told: torch.Tensor, truth: torch.Tensor) -> bool:
    """Equal but for the rounding of bfloat16."""
    return float((told.double() - truth).norm()) <= 6e-3 * float(truth.norm())


@HERE
@settings(max_examples=40)
@given(shape=st.tuples(SIZE, SIZE, SIZE), seed=st.integers(0, 99), turned=st.booleans())
def test_activations_times_a_weight_are_the_product(
    shape: tuple[int, int, int], seed: int, turned: bool
) -> None:
    count, out, width = shape
    x = drawn(seed, count, width).bfloat16()
    weight = drawn(seed + 1, out, width).bfloat16().T
    with using(tiles=True) as found:
        told = native.times(found, x, weight if turned else weight.contiguous())
    assert near(told, x.double() @ weight.double())


@HERE
@settings(max_examples=20)
@given(
    count=SIZE,
    width=st.sampled_from([1, 45, 64, 384, 600]),
    hidden=st.sampled_from([7, 32, 96, 512, 544]),
    seed=st.integers(0, 99),
    tiles=st.booleans(),
)
def test_gates_beside_their_product_are_the_formula(
    count: int, width: int, hidden: int, seed: int, tiles: bool
) -> None:
    x, inner = drawn(seed, count, width).bfloat16(), drawn(seed + 1, 2 * hidden, width)
    inner, beta = (inner / width**0.5).bfloat16(), drawn(seed + 2, hidden).exp()
    dy, down = drawn(seed + 3, count, width).bfloat16(), drawn(seed + 4, width, hidden).bfloat16()
    dbeta = torch.ones(hidden)
    with using(tiles) as found:
        gates, act = native.gate(found, x, inner, beta)
        before = gates.double().requires_grad_()
        native.gate_back(found, dy, down, beta, (gates, dbeta))
    sharp = beta.double().requires_grad_()
    g, v = before.chunk(2, dim=1)
    passed = g * torch.sigmoid(sharp * g) * v
    (passed @ down.double().T * dy.double()).sum().backward()
    assert before.grad is not None
    assert sharp.grad is not None
    passed = passed.detach()
    assert near(before.detach(), x.double() @ inner.double().T)
    assert float((act.double() - passed).norm()) <= 2e-2 * float(passed.norm())
    assert near(gates, before.grad)
    assert float((dbeta - 1 - sharp.grad).norm()) <= 2e-2 * float(sharp.grad.norm())


@HERE
@settings(max_examples=20)
@given(
    size=st.sampled_from([(64, 16), (64, 32), (128, 32), (128, 64), (24, 6), (128, 16)]),
    seed=st.integers(0, 99),
)
def test_heads_are_normed_and_turned_and_the_way_back_is_the_derivative(
    size: tuple[int, int], seed: int
) -> None:
    (width, pairs), (rows, time, heads) = size, (2, 5, 3)
    whole, angle = drawn(seed, rows, time, 3, heads, width).bfloat16(), drawn(seed + 1, 10, pairs)
    cos, sin, scale = angle.cos(), angle.sin(), drawn(seed + 2, heads).exp()
    q, k, v, dq, dk, dv = (
        drawn(seed + at, rows, heads, time, width).bfloat16() for at in range(3, 9)
    )
    norms, dwhole, dscale = torch.empty(rows * time, 2 * heads), whole.clone(), torch.zeros(heads)
    shape, found = (rows, time, heads, width, pairs), native.passes()
    assert found is not None
    found.run("heads", *shape, whole, cos, sin, scale, q, k, v, norms)
    told = (dq, dk, dv, q, k, norms, cos, sin, scale, dwhole, dscale)
    found.run("heads_back", *shape, *told)
    given, beta = whole.double().requires_grad_(), scale.double().requires_grad_()
    one, two, three = given.permute(2, 0, 3, 1, 4)
    c, s = (each.double().view(rows, 1, time, pairs) for each in (cos, sin))

    def turned(x: torch.Tensor) -> torch.Tensor:
        x = torch.nn.functional.layer_norm(x, (width,), eps=1e-5)
        a, b, rest = x.split([pairs, pairs, width - 2 * pairs], dim=-1)
        return torch.cat([a * c - b * s, a * s + b * c, rest], dim=-1)

    truth = (turned(one) * beta[:, None, None], turned(two), three)
    sum((y * g.double()).sum() for y, g in zip(truth, (dq, dk, dv), strict=True)).backward()
    assert given.grad is not None
    assert beta.grad is not None
    assert all(near(x, y.detach()) for x, y in zip((q, k, v), truth, strict=True))
    assert float((dwhole.double() - given.grad).norm()) <= 1e-2 * float(given.grad.norm())
    assert float((dscale - beta.grad).norm()) <= 2e-2 * float(beta.grad.norm() + 1)

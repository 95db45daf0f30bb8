"""Compiled passes: made once, kept where the user's caches are, and missed by nobody."""

import os
import stat
from collections.abc import Callable, Iterator
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

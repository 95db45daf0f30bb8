"""Compiled passes: made once, kept where the user's caches are, and missed by nobody."""

import os
import stat
from pathlib import Path

import pytest
import torch

from rankspace.model import native

HERE = pytest.mark.skipif(native.passes() is None, reason="no C++ compiler, or no AVX-512")


@HERE
def test_passes_are_compiled_once_and_kept_for_the_user_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert native.passes.__wrapped__() is not None
    (made,) = (tmp_path / "rankspace").iterdir()
    assert stat.S_IMODE(made.parent.stat().st_mode) == 0o700
    when = made.stat().st_mtime_ns
    assert native.passes.__wrapped__() is not None
    assert made.stat().st_mtime_ns == when


def test_without_a_compiler_or_a_place_there_are_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "rankspace").write_text("no folder")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert native.passes.__wrapped__() is None
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("PATH", os.devnull)
    assert native.passes.__wrapped__() is None


@HERE
def test_a_tensor_with_gaps_is_refused() -> None:
    found = native.passes()
    assert found is not None
    with pytest.raises(ValueError, match="has gaps"):
        found.run("gather", torch.zeros(4, 4)[:, ::2])

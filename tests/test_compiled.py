"""C++ is compiled where it can be, once."""

from pathlib import Path

import pytest

from rankspace import compiled

HERE = pytest.mark.skipif(compiled.compiler() is None, reason="no C++ compiler")


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def source(tmp_path: Path, name: str, text: str) -> Path:
    path = tmp_path / name
    path.write_text(text)
    return path


@HERE
def test_a_library_is_made_once_and_anew_for_other_sources(tmp_path: Path) -> None:
    one = source(tmp_path, "one.cpp", 'extern "C" int f() { return 1; }')
    path = compiled.library(one)
    assert path is not None
    assert path.parent == tmp_path / "cache" / "rankspace"
    made = path.stat()
    compiled.library.cache_clear()
    assert compiled.library(one) == path
    assert path.stat() == made
    source(tmp_path, "one.cpp", 'extern "C" int f() { return 2; }')
    compiled.library.cache_clear()
    assert compiled.library(one) not in (None, path)
    assert sorted(path.parent.iterdir()) == sorted(path.parent.glob("one-*.so"))


@HERE
def test_what_does_not_compile_is_none(tmp_path: Path) -> None:
    assert compiled.library(source(tmp_path, "wrong.cpp", "this is no C++")) is None
    assert compiled.library(tmp_path / "missing.cpp") is None


def test_without_a_compiler_there_is_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert compiled.library(source(tmp_path, "right.cpp", "")) is None

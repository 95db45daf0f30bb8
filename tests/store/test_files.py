"""Files appear whole or not at all."""

from pathlib import Path

import pytest

from rankspace.store import files


def test_a_file_appears_when_it_is_whole(tmp_path: Path) -> None:
    path = tmp_path / "file"
    with files.whole(path) as part:
        part.write_bytes(b"new")
        assert not path.exists()
    assert path.read_bytes() == b"new"
    assert list(tmp_path.iterdir()) == [path]


def test_a_file_that_fails_midway_leaves_what_was_there(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"old")

    def fail() -> None:
        with files.whole(path) as part:
            part.write_bytes(b"new")
            raise KeyError

    with pytest.raises(KeyError):
        fail()
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_manifest_names_every_file(tmp_path: Path) -> None:
    files.make_folder(tmp_path / "a" / "b")
    (tmp_path / "a" / "b" / "c").write_bytes(b"")
    (tmp_path / "d").write_bytes(b"x")
    assert list(files.manifest(tmp_path)) == ["a/b/c", "d"]
    empty = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
    assert files.manifest(tmp_path)["a/b/c"] == empty

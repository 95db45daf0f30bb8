"""Blobs: what is put can be got, once each, and checked."""

import os
import time
from pathlib import Path

import pytest

from rankspace.errors import Corrupt, NotFound
from rankspace.store.blobs import Blobs


@pytest.fixture
def blobs(tmp_path: Path) -> Blobs:
    return Blobs(tmp_path / "blobs")


def test_the_same_bytes_are_kept_once(blobs: Blobs, tmp_path: Path) -> None:
    assert blobs.put(b"sound") == blobs.put(b"sound")
    assert blobs.put(b"") != blobs.put(b"sound")
    assert blobs.get(blobs.put(b"sound")) == b"sound"
    assert len(list(blobs.names())) == 2
    assert len([path for path in tmp_path.rglob("*") if path.is_file()]) == 2


def test_changed_bytes_are_corrupt_and_absent_ones_not_found(blobs: Blobs, tmp_path: Path) -> None:
    name = blobs.put(b"sound")
    (tmp_path / "blobs" / name[:2] / name).write_bytes(b"noise")
    with pytest.raises(Corrupt):
        blobs.get(name)
    with pytest.raises(NotFound):
        blobs.get("00" * 32)


def test_a_sweep_removes_what_is_unused_and_old(blobs: Blobs, tmp_path: Path) -> None:
    used, unused, young = (blobs.put(data) for data in (b"used", b"unused", b"young"))
    torn = tmp_path / "blobs" / used[:2] / ".torn.part"
    torn.write_bytes(b"to")
    old = time.time() - 100
    for path in (tmp_path / "blobs").rglob("*"):
        if path.is_file() and path.name != young:
            os.utime(path, (old, old))
    assert blobs.sweep(lambda name: name == used, age_s=50.0) == 2
    assert set(blobs.names()) == {used, young}
    assert not torn.exists()
    assert unused not in set(blobs.names())


def test_putting_again_makes_a_blob_young(blobs: Blobs, tmp_path: Path) -> None:
    name = blobs.put(b"sound")
    os.utime(tmp_path / "blobs" / name[:2] / name, (0, 0))
    blobs.put(b"sound")
    assert blobs.sweep(lambda _: False, age_s=50.0) == 0

"""Blobs: what is put can be got, and goes when nothing names it."""

import os
import time
from pathlib import Path

import pytest

from rankspace.errors import Corrupt, NotFound, Overloaded
from rankspace.store.blobs import Blobs


@pytest.fixture
def blobs(tmp_path: Path) -> Blobs:
    return Blobs(tmp_path / "blobs")


def put(blobs: Blobs, *pieces: bytes) -> list[str]:
    """The places of pieces that were put together."""
    pile = blobs.pile()
    places = [pile.add(piece) for piece in pieces]
    blobs.settle([blobs.put(pile)])
    return places


def test_pieces_are_found_at_their_places(blobs: Blobs) -> None:
    one = put(blobs, b"sound", b"", b"sight")
    other = put(blobs, b"sound")
    assert [blobs.get(place) for place in (*one, *other)] == [b"sound", b"", b"sight", b"sound"]
    assert set(blobs.names()) == {place.partition(":")[0] for place in (*one, *other)}


def test_a_blob_that_is_short_is_corrupt_and_an_absent_one_is_not_found(
    blobs: Blobs, tmp_path: Path
) -> None:
    (place,) = put(blobs, b"sound")
    name = place.partition(":")[0]
    (tmp_path / "blobs" / name[:2] / name).write_bytes(b"soun")
    with pytest.raises(Corrupt):
        blobs.get(place)
    blobs.remove([name])
    with pytest.raises(NotFound):
        blobs.get(place)


@pytest.mark.parametrize("place", ["", "../../etc/passwd:0:1", "0" * 32, f"{'0' * 32}:-1:4"])
def test_a_damaged_place_leads_nowhere(blobs: Blobs, place: str) -> None:
    with pytest.raises(Corrupt):
        blobs.get(place)


def test_a_sweep_removes_what_is_unused_and_old(blobs: Blobs, tmp_path: Path) -> None:
    used, unused, young = (put(blobs, data)[0][:32] for data in (b"used", b"unused", b"young"))
    old = time.time() - 100
    for name in (used, unused):
        os.utime(tmp_path / "blobs" / name[:2] / name, (old, old))
    assert blobs.sweep(lambda names: {used}.intersection(names), age_s=50.0) == 1
    assert set(blobs.names()) == {used, young}


def test_a_blob_that_cannot_be_written_leaves_nothing(blobs: Blobs, tmp_path: Path) -> None:
    pile = blobs.pile()
    pile.add(b"sound")
    folder = tmp_path / "blobs" / pile.name[:2]
    folder.rmdir()
    with pytest.raises(Overloaded):
        blobs.put(pile)
    folder.mkdir()
    assert list(blobs.names()) == []

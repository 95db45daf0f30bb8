"""A damaged write-ahead log: all that was acknowledged before the damage, or CORRUPT."""

import random
import shutil
from pathlib import Path

import pytest

from rankspace.errors import Corrupt
from rankspace.media.sample import Part, Sample
from rankspace.store.config import StoreConfig
from rankspace.store.store import Store

APPENDS = 12


def sample(number: int) -> Sample:
    return Sample(f"id-{number}", (Part("text", b"%d" % number * 900),))


@pytest.fixture(scope="module")
def crashed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store as a crash leaves it: all it has is in its log."""
    folder = tmp_path_factory.mktemp("crashed")
    with Store.open(StoreConfig(folder=folder / "alive")) as store:
        store.log.create("s")
        for number in range(APPENDS):
            store.log.append("s", number, [sample(number)])
        shutil.copytree(folder / "alive", folder / "dead")
    (folder / "dead" / "store.db-shm").unlink()
    return folder / "dead"


def reopened(crashed: Path, folder: Path, damage: bytes, cut: bool = False) -> int:
    """How much is there with another log; what is there is checked."""
    shutil.copytree(crashed, folder)
    (folder / "store.db-wal").write_bytes(damage)
    with Store.open(StoreConfig(folder=folder, cut_damaged_log=cut)) as store:
        found = list(store.log.read("s"))
    assert found == [(number, sample(number)) for number in range(len(found))]
    return len(found)


def test_an_untouched_log_gives_everything(crashed: Path, tmp_path: Path) -> None:
    whole = (crashed / "store.db-wal").read_bytes()
    assert reopened(crashed, tmp_path / "s", whole) == APPENDS


@pytest.mark.parametrize("seed", range(8))
def test_a_torn_log_gives_all_that_was_acknowledged_before(
    crashed: Path, tmp_path: Path, seed: int
) -> None:
    whole = (crashed / "store.db-wal").read_bytes()
    at = random.Random(seed).randrange(len(whole) * 3 // 4, len(whole))
    assert 0 < reopened(crashed, tmp_path / "s", whole[:at]) <= APPENDS


@pytest.mark.parametrize("seed", range(12))
def test_a_flipped_bit_is_told_or_lies_in_the_last_append(
    crashed: Path, tmp_path: Path, seed: int
) -> None:
    damaged = bytearray((crashed / "store.db-wal").read_bytes())
    at = random.Random(seed).randrange(len(damaged) // 2, len(damaged))
    damaged[at] ^= 1 << seed % 8
    try:
        assert reopened(crashed, tmp_path / "s", bytes(damaged)) >= APPENDS - 1
    except Corrupt:
        assert reopened(crashed, tmp_path / "cut", bytes(damaged), cut=True) < APPENDS


def test_most_flipped_bits_before_the_end_are_told(crashed: Path, tmp_path: Path) -> None:
    damaged = bytearray((crashed / "store.db-wal").read_bytes())
    damaged[len(damaged) // 2] ^= 1
    with pytest.raises(Corrupt, match="cut_damaged_log"):
        reopened(crashed, tmp_path / "s", bytes(damaged))

"""A damaged write-ahead log: all that was acknowledged before the damage, or CORRUPT."""

import random
import shutil
import sqlite3
from pathlib import Path

import pytest

from rankspace.errors import Corrupt
from rankspace.media.sample import Part, Sample
from rankspace.store.config import StoreConfig
from rankspace.store.entries import Durability
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


HEADER, FRAME = 32, 24


@pytest.mark.parametrize("at", [0, 6, 9, 17, 26, 30])
def test_a_damaged_header_of_the_log_is_told(crashed: Path, tmp_path: Path, at: int) -> None:
    damaged = bytearray((crashed / "store.db-wal").read_bytes())
    damaged[at] ^= 4
    with pytest.raises(Corrupt, match="cut_damaged_log"):
        reopened(crashed, tmp_path / "s", bytes(damaged))


def test_a_header_of_zeros_is_told_where_commits_follow_it(crashed: Path, tmp_path: Path) -> None:
    whole = (crashed / "store.db-wal").read_bytes()
    with pytest.raises(Corrupt, match="cut_damaged_log"):
        reopened(crashed, tmp_path / "s", bytes(HEADER) + whole[HEADER:])


@pytest.mark.parametrize("share", [0.1, 0.5, 0.8])
def test_damaged_salts_of_a_frame_are_told(crashed: Path, tmp_path: Path, share: float) -> None:
    damaged = bytearray((crashed / "store.db-wal").read_bytes())
    size = FRAME + int.from_bytes(damaged[8:12], "big")
    frames = (len(damaged) - HEADER) // size
    damaged[HEADER + int(share * frames) * size + 8] ^= 1
    with pytest.raises(Corrupt, match="cut_damaged_log"):
        reopened(crashed, tmp_path / "s", bytes(damaged))


def test_frames_of_an_earlier_log_are_no_damage(tmp_path: Path) -> None:
    with Store.open(StoreConfig(folder=tmp_path / "alive")) as store:
        store.log.create("s")
        for number in range(40):
            store.log.append("s", number, [sample(number)])
        with sqlite3.connect(tmp_path / "alive" / "store.db") as other:
            other.execute("PRAGMA wal_checkpoint(RESTART)")
        other.close()
        store.log.append("s", 40, [sample(40)])
        shutil.copytree(tmp_path / "alive", tmp_path / "dead")
    log = (tmp_path / "dead" / "store.db-wal").read_bytes()
    size = FRAME + int.from_bytes(log[8:12], "big")
    salts = {log[at + 8 : at + 16] for at in range(HEADER, len(log) - size + 1, size)}
    assert len(salts) == 2
    assert reopened(tmp_path / "dead", tmp_path / "s", log) == 41


def test_what_a_crash_left_in_the_log_is_in_the_database_before_anything_is_added(
    crashed: Path, tmp_path: Path
) -> None:
    shutil.copytree(crashed, tmp_path / "s")
    with Store.open(StoreConfig(folder=tmp_path / "s")):
        assert (tmp_path / "s" / "store.db-wal").stat().st_size == 0
        shutil.copytree(tmp_path / "s", tmp_path / "copy", ignore=shutil.ignore_patterns("*-*"))
    with Store.open(StoreConfig(folder=tmp_path / "copy")) as store:
        assert len(list(store.log.read("s"))) == APPENDS


@pytest.mark.parametrize("share", [0.3, 0.5, 0.8])
def test_damage_before_a_synced_commit_is_told_where_others_were_only_written(
    tmp_path: Path, share: float
) -> None:
    with Store.open(StoreConfig(folder=tmp_path / "alive")) as store:
        store.log.create("s")
        for number in range(APPENDS):
            durability: Durability = "synced" if number % 3 else "written"
            store.log.append("s", number, [sample(number)], durability=durability)
        shutil.copytree(tmp_path / "alive", tmp_path / "dead")
    damaged = bytearray((tmp_path / "dead" / "store.db-wal").read_bytes())
    damaged[int(len(damaged) * share)] ^= 1
    with pytest.raises(Corrupt, match="cut_damaged_log"):
        reopened(tmp_path / "dead", tmp_path / "s", bytes(damaged))


def test_a_hole_among_commits_that_were_only_written_is_their_end(tmp_path: Path) -> None:
    with Store.open(StoreConfig(folder=tmp_path / "alive")) as store:
        store.log.create("s")
        store.log.append("s", 0, [sample(0)])
        kept = (tmp_path / "alive" / "store.db-wal").stat().st_size
        for number in range(1, APPENDS):
            store.log.append("s", number, [sample(number)], durability="written")
        shutil.copytree(tmp_path / "alive", tmp_path / "dead")
    holed = bytearray((tmp_path / "dead" / "store.db-wal").read_bytes())
    at = kept + (len(holed) - kept) // 2
    holed[at : at + 4096] = bytes(4096)
    assert 1 <= reopened(tmp_path / "dead", tmp_path / "s", bytes(holed)) < APPENDS

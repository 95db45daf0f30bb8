"""Faults in a fixed order: whatever a cut leaves of the rest, what was acknowledged is there."""

from pathlib import Path

import pytest

from tests.robustness.contents import key_of
from tests.robustness.lives import STREAM, Life, act, failing, found, store
from tests.robustness.powercut import COMPILER, Disk

pytestmark = pytest.mark.skipif(COMPILER is None, reason="install a C compiler (cc): no power cuts")

CUTS = 10
"""Cuts at the same moment, each of which leaves another part of what was not synced."""

NAMES = ("0.t", "1.t", "2.t", "3.t")
KEYS = [key_of(name) for name in NAMES]
SOUND = "sound.a"


@pytest.fixture
def disk(tmp_path: Path) -> Disk:
    with store(tmp_path / "disk") as opened:
        assert act(opened, "create") == act(opened, f"append 0 {NAMES[0]} synced") == "stored"
    return Disk(tmp_path / "disk", tmp_path / "beside", 1)


def test_a_sync_that_failed_a_kill_and_a_cut_lose_nothing_acknowledged(disk: Disk) -> None:
    with Life(disk) as live, failing(disk):
        assert live(f"append 1 {NAMES[1]} synced") == "UNREACHABLE"
    with Life(disk) as live:  # the page cache still has what the disk may not have
        assert live(f"append 1 {NAMES[1]} synced") in ("stored", "duplicate")
        assert live(f"append 2 {NAMES[2]} synced") == "stored"
    for _ in disk.cuts(CUTS):
        assert found(disk.folder) == KEYS[:3]


def test_after_a_sync_that_failed_nothing_more_is_acknowledged_as_synced(disk: Disk) -> None:
    with Life(disk) as live:
        assert live(f"append 1 {NAMES[1]} written") == "stored"
        with failing(disk):
            assert live(f"append 2 {NAMES[2]} synced") == "UNREACHABLE"
        # Linux takes the pages that it could not write for written, those of sample 1 as well.
        told = live(f"append 2 {NAMES[2]} synced")
    assert told in ("stored", "duplicate", "OVERLOADED")
    least = 1 if told == "OVERLOADED" else 3
    for _ in disk.cuts(CUTS):
        keys = found(disk.folder)
        assert keys == KEYS[: len(keys)]
        assert len(keys) >= least


def test_what_was_written_and_is_sent_again_as_synced_is_synced(disk: Disk) -> None:
    with Life(disk) as live:
        assert live(f"append 1 {NAMES[1]} written") == "stored"
        assert live(f"append 1 {NAMES[1]} synced") == "duplicate"
    for _ in disk.cuts(CUTS):
        assert found(disk.folder) == KEYS[:2]


def test_a_chunk_that_was_written_and_is_sent_again_as_synced_is_synced(disk: Disk) -> None:
    with Life(disk) as live:
        assert live(f"grow {SOUND}/begin synced") == "grown"
        assert live(f"grow {SOUND}/chunk written") == "grown"
        assert live(f"grow {SOUND}/chunk synced") == "grown"
    for _ in disk.cuts(CUTS):
        with store(disk.folder) as opened:
            (medium,) = opened.pieces.open(STREAM)
            assert medium.position > 0


def test_written_appends_lose_their_end_and_nothing_within(disk: Disk) -> None:
    with Life(disk) as live:
        for at in (1, 2, 3):
            assert live(f"append {at} {NAMES[at]} written") == "stored"
    lengths = set()
    for _ in disk.cuts(CUTS):
        keys = found(disk.folder)
        assert keys == KEYS[: len(keys)]
        lengths.add(len(keys))
    assert len(lengths) > 1, "no cut lost anything"


def test_media_of_a_commit_of_which_nobody_knows_are_not_freed(disk: Disk) -> None:
    with Life(disk) as live, failing(disk, database_only=True):
        assert live(f"append 1 {SOUND} synced") == "UNREACHABLE"
    assert found(disk.folder) in (KEYS[:1], [KEYS[0], key_of(SOUND)])

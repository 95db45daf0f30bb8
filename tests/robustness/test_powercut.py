"""The disk that loses power loses what was not synced, and only that."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.robustness.powercut import COMPILER, SECTOR, Disk

pytestmark = pytest.mark.skipif(COMPILER is None, reason="install a C compiler (cc): no power cuts")

FILES = """
import os, pathlib, sys
folder = pathlib.Path(sys.argv[1])

def sync(path):
    handle = os.open(path, os.O_RDONLY)
    os.fsync(handle)
    os.close(handle)

(folder / "kept").write_bytes(b"k" * 5000)
(folder / "nameless").write_bytes(b"n")
sync(folder / "kept")
(folder / "empty").write_bytes(b"e" * 5000)
(folder / ".part").write_bytes(b"p" * 5000)
sync(folder / ".part")
os.replace(folder / ".part", folder / "whole")
(folder / "gone").write_bytes(b"g")
(folder / "gone").unlink()
sync(folder)
(folder / "late").write_bytes(b"l")
sync(folder / "late")
with open(folder / "kept", "r+b") as file:
    file.write(b"K" * 5000)
"""

ROWS = """
import sqlite3, sys
base = sqlite3.connect(sys.argv[1] + "/a.db", isolation_level=None)
base.execute("PRAGMA journal_mode = WAL")
base.execute("PRAGMA synchronous = " + sys.argv[2])
base.execute("PRAGMA wal_autocheckpoint = 4")
base.execute("CREATE TABLE IF NOT EXISTS rows (n INTEGER)")
for number in range(30):
    base.execute("INSERT INTO rows VALUES (?)", (number,))
    print(number, flush=True)
import os
os._exit(0)
"""


def run(disk: Disk, program: str, *arguments: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", program, disk.folder, *arguments],
        env=os.environ | disk.environment,
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout


def test_what_was_synced_stays_and_the_rest_may_be_lost(tmp_path: Path) -> None:
    late, kept, empty = set(), set(), set()
    for seed in range(12):
        disk = Disk(tmp_path / f"disk{seed}", tmp_path / "beside", seed)
        run(disk, FILES)
        disk.cut()
        found = {path.name: path.read_bytes() for path in disk.folder.iterdir()}
        assert found.keys() >= {"kept", "whole", "empty", "nameless"}
        assert "gone" not in found
        assert found["whole"] == b"p" * 5000
        late.add(found.get("late", b""))
        kept.add(found["kept"][:1])
        empty.add(len(found["empty"]))
    assert late == {b"", b"l"}
    assert kept == {b"k", b"K"}
    assert {0, 5000} <= empty


@pytest.mark.parametrize(("mode", "loses"), [("FULL", False), ("OFF", True)])
def test_a_database_that_syncs_keeps_its_rows(tmp_path: Path, mode: str, loses: bool) -> None:
    lost = 0
    for seed in range(6):
        disk = Disk(tmp_path / f"disk{seed}", tmp_path / "beside", seed)
        told = len(run(disk, ROWS, mode).splitlines())
        disk.cut()
        count = [sys.executable, "-c", COUNT, str(disk.folder)]
        done = subprocess.run(count, capture_output=True, text=True, check=False)
        lost += done.stdout.strip() != str(told)
    assert bool(lost) == loses


COUNT = """
import sqlite3, sys
base = sqlite3.connect(sys.argv[1] + "/a.db")
print(base.execute("SELECT count(*) FROM rows").fetchone()[0])
"""


def test_a_sync_that_fails_and_a_full_disk_are_errors(tmp_path: Path) -> None:
    disk = Disk(tmp_path / "disk", tmp_path / "beside", 1)
    disk.set(failing=1000)
    with pytest.raises(subprocess.CalledProcessError) as failed:
        run(disk, FILES)
    assert "Input/output error" in failed.value.stderr
    disk.set(room=100)
    with pytest.raises(subprocess.CalledProcessError) as full:
        run(disk, FILES)
    assert "No space left on device" in full.value.stderr


@pytest.fixture(scope="module")
def every_call(tmp_path_factory: pytest.TempPathFactory) -> Path:
    program = tmp_path_factory.mktemp("program") / "every_call"
    source = Path(__file__).with_name("every_call.c")
    flags = ["-O1", "-Wall", "-Wextra", "-Werror"]
    subprocess.run([COMPILER or "cc", *flags, "-o", program, source], check=True)
    return program


def changed(disk: Disk, program: Path, seed: int, synced: bool) -> dict[str, bytes]:
    """The files after many calls, as the page cache has them."""
    words = [str(program), str(disk.folder), str(seed), "60", str(int(synced))]
    subprocess.run(words, env=os.environ | disk.environment, check=True)
    return {path.name: path.read_bytes() for path in disk.folder.iterdir()}


def test_whatever_call_changes_a_file_what_was_synced_stays(
    every_call: Path, tmp_path: Path
) -> None:
    for seed in range(12):
        disk = Disk(tmp_path / f"disk{seed}", tmp_path / "beside", seed)
        before = changed(disk, every_call, seed, synced=True)
        disk.cut()
        assert {path.name: path.read_bytes() for path in disk.folder.iterdir()} == before


def test_whatever_call_changes_a_file_it_is_lost_where_nothing_was_synced(
    every_call: Path, tmp_path: Path
) -> None:
    lost = 0
    for seed in range(8):
        disk = Disk(tmp_path / f"disk{seed}", tmp_path / "beside", seed)
        before = changed(disk, every_call, seed, synced=False)
        disk.cut()
        lost += {path.name: path.read_bytes() for path in disk.folder.iterdir()} != before
    assert lost >= 4


def test_a_hole_gives_room_on_a_full_disk(tmp_path: Path) -> None:
    disk = Disk(tmp_path / "disk", tmp_path / "beside", 1)
    disk.set(room=100 * SECTOR)
    assert run(disk, ROOM).split() == ["ENOSPC", "stored"]


ROOM = """
import ctypes, errno, os, sys
handle = os.open(sys.argv[1] + "/file", os.O_RDWR | os.O_CREAT)
libc = ctypes.CDLL(None, use_errno=True)
libc.fallocate.argtypes = [ctypes.c_int, ctypes.c_int, ctypes.c_long, ctypes.c_long]
os.posix_fallocate(handle, 0, 100 * 512)
try:
    os.pwrite(handle, b"x" * 512, 0)
except OSError as error:
    print(errno.errorcode[error.errno])
assert libc.fallocate(handle, 3, 0, 8 * 512) == 0
os.pwrite(handle, b"x" * 512, 100 * 512)
print("stored")
"""

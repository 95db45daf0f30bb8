"""Segments: what is written can be got, survives its process, and goes when nothing names it."""

import errno
import fcntl
import os
import subprocess
import sys
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rankspace.errors import Corrupt, NotFound, Overloaded
from rankspace.store import files
from rankspace.store.blobs import Blobs, Region
from rankspace.store.segments import Segments
from tests.store.kept import BLOCK, blocks, segments

SMALL = 4 * BLOCK
"""Bytes of a segment."""


@pytest.fixture
def blobs(tmp_path: Path) -> Iterator[Segments]:
    opened = Segments(tmp_path / "blobs", SMALL)
    yield opened
    opened.close()


def write(blobs: Segments, pieces: Sequence[bytes]) -> Region:
    """One batch."""
    (region,) = blobs.write_all([pieces])
    return region


def names(*regions: Region) -> Callable[[Sequence[str]], Collection[Region]]:
    """What rows would name."""
    return lambda asked: [region for region in regions if region.name in asked]


def age(folder: Path, seconds: float = 100.0) -> None:
    """Make all segments older."""
    for path in segments(folder):
        os.utime(path, (time.time() - seconds,) * 2)


@given(st.lists(st.lists(st.binary(max_size=2 * BLOCK), min_size=1, max_size=4), max_size=8))
@settings(max_examples=30)
def test_whatever_is_written_is_found_at_its_place(
    tmp_path_factory: pytest.TempPathFactory, batches: list[list[bytes]]
) -> None:
    blobs: Blobs = Segments(tmp_path_factory.mktemp("blobs"), SMALL)
    with ThreadPoolExecutor(4) as pool:
        halves = (batches[: len(batches) // 2], batches[len(batches) // 2 :])
        regions = [region for written in pool.map(blobs.write_all, halves) for region in written]
    blobs.settle(regions)
    blobs.close()
    assert len({(region.name, region.start) for region in regions if region.length}) == sum(
        region.length > 0 for region in regions
    )
    for region, pieces in zip(regions, batches, strict=True):
        at = 0
        for piece in pieces:
            assert blobs.get(region.place(at, len(piece))) == piece
            at += len(piece)


def test_many_pieces_are_written_and_a_short_write_goes_on(
    blobs: Segments, monkeypatch: pytest.MonkeyPatch
) -> None:
    pieces = [b"%d" % number for number in range(3000)]
    real = os.pwritev
    monkeypatch.setattr(os, "pwritev", lambda to, some, at: real(to, some[:7], at))
    piles = [pieces, [b"x" * 5000], [b""], [b"y"]]
    for region, pile in zip(blobs.write_all(piles), piles, strict=True):
        assert blobs.get(region.place(0, region.length)) == b"".join(pile)


def test_a_segment_that_is_full_gives_its_room_back_and_a_new_one_begins(
    blobs: Segments, tmp_path: Path
) -> None:
    regions = [write(blobs, [b"a" * BLOCK * 3]), write(blobs, [b"b" * BLOCK * 2])]
    assert len({region.name for region in regions}) == 2
    first = tmp_path / "blobs" / regions[0].name
    assert first.stat().st_size == SMALL
    blobs.settle(regions)
    assert first.stat().st_size == 3 * BLOCK
    large = write(blobs, [b"c" * SMALL * 2])
    assert large.start == 0
    assert blobs.get(large.place(SMALL, 1)) == b"c"


def test_what_is_freed_is_a_hole_and_an_empty_segment_goes(blobs: Segments, tmp_path: Path) -> None:
    one, other = (write(blobs, [b"x" * 5000]) for _ in range(2))
    blobs.settle([one, other])
    blobs.free([one])
    assert blocks(tmp_path) == 2
    assert blobs.get(other.place(0, 5000)) == b"x" * 5000
    assert blobs.get(one.place(0, 5000)) == bytes(5000)
    blobs.free([other])
    assert len(segments(tmp_path)) == 1  # it is still written to
    blobs.free([other])
    blobs.close()
    blobs.free([other])
    assert segments(tmp_path) == []
    with pytest.raises(NotFound):
        blobs.get(other.place(0, 1))
    blobs.free([other])


def test_without_holes_zeros_are_written(
    blobs: Segments, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(files, "_fallocate", lambda *_: False)
    one, other = (write(blobs, [b"x" * 5000]) for _ in range(2))
    blobs.settle([one, other])
    blobs.free([one, other])
    assert blocks(tmp_path) == 0
    blobs.close()
    assert blobs.sweep(names(other), 0.0) == 1
    (path,) = segments(tmp_path)
    assert path.stat().st_size == other.start + 2 * BLOCK


WRITER = """
import sys
from pathlib import Path
from rankspace.store.segments import Segments

blobs = Segments(Path(sys.argv[1]), 1 << 20)
regions = blobs.write_all([[bytes([65 + number]) * 5000] for number in range(4)])
blobs.settle(regions[:3])
print(*[f"{region.name}:{region.start}:{region.length}" for region in regions], flush=True)
sys.stdin.read()
"""


def test_a_sweep_frees_what_a_killed_writer_left_and_nothing_that_somebody_writes_to(
    blobs: Segments, tmp_path: Path
) -> None:
    folder = tmp_path / "blobs"
    command = [sys.executable, "-c", WRITER, str(folder)]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True) as writer:
        assert writer.stdout is not None
        told = writer.stdout.readline().split()
        regions = [
            Region(name, int(start), int(length))
            for name, start, length in (one.split(":") for one in told)
        ]
        used = names(regions[1])
        age(folder)
        assert blobs.sweep(used, 50.0) == 0  # its writer lives
        writer.kill()
    age(folder, 10.0)
    assert blobs.sweep(used, 50.0) == 0  # too young
    age(folder)
    assert blobs.sweep(used, 50.0) == 1  # the first; what follows the second is cut off
    assert blocks(folder) == 2
    assert blobs.get(regions[1].place(0, 5000)) == b"B" * 5000
    age(folder)
    assert blobs.sweep(names(), 50.0) == 0  # looked at before, and nothing was freed since
    blobs.free([regions[1]])
    assert segments(folder) == []


def test_a_segment_that_no_row_names_goes_whole(blobs: Segments, tmp_path: Path) -> None:
    region = write(blobs, [b"x"])
    blobs.settle([region])
    age(tmp_path)
    assert blobs.sweep(names(), 0.0) == 0
    blobs.close()
    (tmp_path / "blobs" / "a stranger's file").touch()
    age(tmp_path)
    assert blobs.sweep(names(), 0.0) == 1
    assert [path.name for path in segments(tmp_path)] == ["a stranger's file"]


def test_a_segment_that_is_found_before_it_is_locked_is_not_written_to(
    blobs: Segments, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = fcntl.flock
    seen: list[Path] = []

    def late(handle: int, how: int) -> None:
        if not seen:  # another process sweeps just here
            seen.extend(segments(tmp_path))
            seen[0].unlink()
        real(handle, how)

    monkeypatch.setattr(fcntl, "flock", late)
    region = write(blobs, [b"sound"])
    assert blobs.get(region.place(0, 5)) == b"sound"
    assert region.name != seen[0].name


def test_bytes_that_cannot_be_written_or_synced_are_told(
    blobs: Segments, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise OSError(errno.EIO, "Input/output error")

    for name in ("pwritev", "fdatasync"):
        with monkeypatch.context() as patched:
            patched.setattr(os, name, fail)
            with pytest.raises(Overloaded, match="disk"):
                blobs.settle([write(blobs, [b"sound"])])
    region = write(blobs, [b"sight"])
    blobs.settle([region])
    blobs.settle([region])
    assert blobs.get(region.place(0, 5)) == b"sight"


def test_what_has_come_to_the_disk_leaves_the_page_cache_and_is_read_all_the_same(
    blobs: Segments, monkeypatch: pytest.MonkeyPatch
) -> None:
    left: list[tuple[int, int]] = []
    real = os.posix_fadvise

    def advise(handle: int, start: int, length: int, how: int) -> None:
        left.append((start, length))
        real(handle, start, length, how)

    monkeypatch.setattr(os, "posix_fadvise", advise)
    regions = [write(blobs, [b"x" * 5000]) for _ in range(2)]
    assert left == []
    blobs.settle(regions)
    assert left == [(0, 4 * BLOCK)]  # neighbours at once
    blobs.settle(regions)  # they are settled
    assert len(left) == 1
    assert [blobs.get(region.place(0, 5000)) for region in regions] == [b"x" * 5000] * 2


def test_a_segment_that_is_short_is_corrupt_and_an_absent_one_is_not_found(
    blobs: Segments, tmp_path: Path
) -> None:
    region = write(blobs, [b"sound"])
    (path,) = segments(tmp_path)
    path.write_bytes(b"soun")
    with pytest.raises(Corrupt):
        blobs.get(region.place(0, 5))
    path.unlink()
    with pytest.raises(NotFound):
        blobs.get(region.place(0, 5))
    path.mkdir()
    with pytest.raises(Corrupt):
        blobs.get(region.place(0, 5))


@pytest.mark.parametrize(
    "place", ["", "../../etc/passwd:0:1", "0" * 32, f"{'0' * 32}:-1:4", f"{'ü' * 32}:0:4"]
)
def test_a_damaged_place_leads_nowhere(blobs: Segments, place: str) -> None:
    with pytest.raises(Corrupt):
        blobs.get(place)

"""Media in a folder: every process appends its regions to a segment of its own.

    blobs/3f…    a segment: 128 bits in hexadecimal; regions one after the other, each from a
                 multiple of 4096, between them nothing

A region is reserved, one at a time, and then written by as many threads as there are; one fdatasync
brings all regions of a commit to the disk. That is what makes it fast: a disk takes 16 MB between
two syncs some thirty times faster than 64 KB. Room is taken from the file system in steps ahead of
the writing, so that a sync has data to bring and few changes of the file itself. What is on the
disk leaves the page cache at once: it would push out what is read, and pages that are used again
cost a tenth of new ones (docs/log.md).

Who writes to a segment holds its lock (flock) until all regions in it are settled, and never opens
it again; the kernel lets go of it when the process ends, however it ends. What is freed becomes a
hole, at once on the disk too, and a segment that is all hole goes. `sweep` looks at segments that
nobody holds: what lies between the regions that rows name was left by a crash.

After a sync that failed nobody knows what of the file is on the disk, and a later one that succeeds
does not tell (wiki.postgresql.org/wiki/Fsync_Errors): who calls `settle` takes nothing more then.
"""

import fcntl
import os
import secrets
import time
from collections.abc import Collection, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from queue import SimpleQueue

from rankspace.errors import Corrupt, NotFound
from rankspace.store import faults, files
from rankspace.store.blobs import Pieces, Region, Used, is_name, parse_place
from rankspace.store.extents import end_of, gaps, stretches, up

_STEP = 16 << 20  # bytes of room taken from the file system at once


@dataclass(slots=True, eq=False)
class _Segment:
    """One that this process writes to, or has written to and not yet settled."""

    name: str
    handle: int
    end: int = 0
    """Where the next region begins."""

    room: int = 0
    """What the file system has given."""

    full: bool = False
    unsettled: set[int] = field(default_factory=set)
    """Where regions begin that may not be on the disk."""


class Segments:
    """A folder of segments; safe to use from any number of threads and processes."""

    slow = False

    def __init__(self, folder: Path, segment_bytes: int) -> None:
        """A segment is full once the next region would end beyond so many bytes."""
        self._folder = folder
        self._bytes = segment_bytes
        files.make_folder(folder)
        self._turn: SimpleQueue[_Segment | None] = SimpleQueue()
        self._turn.put(None)  # who takes it out is alone with the segments until it is put back
        self._open: dict[str, _Segment] = {}
        self._clean: set[str] = set()

    def write_all(self, piles: Sequence[Pieces]) -> list[Region]:
        """Each pile into a region; those that lie side by side are written in one call."""
        sizes = [sum(map(len, pieces)) for pieces in piles]
        with faults.disk():
            places = self._reserve(sizes)
            regions = [
                Region(segment.name, start, size)
                for (segment, start), size in zip(places, sizes, strict=True)
            ]
            written = False
            try:
                for segment, start, pieces in _together(places, piles):
                    files.write_at(segment.handle, pieces, start)
                written = True
            finally:
                if not written:
                    self._done(regions)
        return regions

    def settle(self, regions: Collection[Region]) -> None:
        with faults.disk():
            for name in {region.name for region in regions}:
                segment = self._open.get(name)
                if segment is None:  # it is full, and all of it is on the disk
                    continue
                mine = sorted(region for region in regions if region.name == name)
                unsettled = [region for region in mine if region.start in segment.unsettled]
                if unsettled:
                    os.fdatasync(segment.handle)
                    for start, stop in stretches(unsettled):
                        files.forget(segment.handle, start, stop - start)
        self._done(regions)

    def get(self, place: str) -> bytes:
        name, start, length = parse_place(place)
        try:
            data = files.read_at(self._folder / name, start, length)
        except FileNotFoundError as error:
            raise NotFound("the segment of these media is not there") from error
        except OSError as error:
            raise Corrupt("the segment of these media cannot be read") from error
        if len(data) != length:
            raise Corrupt("the segment of these media is shorter than it was")
        return data

    def free(self, regions: Collection[Region]) -> None:
        with faults.disk():
            for name in {region.name for region in regions}:
                self._free(name, [region for region in regions if region.name == name])
        self._done(regions)

    def sweep(self, used: Used, age_s: float) -> int:
        """Free what nothing names, in segments that nobody has written to for so long."""
        before = time.time() - age_s
        freed = 0
        with faults.disk():
            for path in list(self._folder.iterdir()):
                if path.name in self._clean or not is_name(path.name):
                    continue
                try:
                    old = path.stat().st_mtime <= before
                    freed += self._sweep(path, used) if old else 0
                except FileNotFoundError:
                    continue  # another process was faster
        return freed

    def close(self) -> None:
        segment = self._turn.get()
        if segment is not None:
            segment.full = True
            self._close(segment)
        self._turn.put(None)

    def _reserve(self, sizes: Sequence[int]) -> list[tuple[_Segment, int]]:
        """Places for so many bytes each, in segments that have room."""
        segment = self._turn.get()
        places: list[tuple[_Segment, int]] = []
        try:
            for size in sizes:
                segment = self._with_room(segment, size)
                start = segment.end
                segment.end += up(size)
                segment.unsettled.add(start)
                places.append((segment, start))
        finally:
            if len(places) < len(sizes):  # the disk has failed: what was reserved stays empty
                for taken, start in places:
                    taken.unsettled.discard(start)
                    self._close(taken)
            self._turn.put(segment)
        return places

    def _with_room(self, segment: _Segment | None, size: int) -> _Segment:
        """The segment, or a new one where it is full, with room for so many bytes."""
        if segment is None or (segment.end and segment.end + size > self._bytes):
            before, segment = segment, self._begin()
            if before is not None:
                before.full = True
                self._close(before)
        if segment.end + size > segment.room:
            step = max(min(_STEP, self._bytes), up(size))
            files.reserve(segment.handle, segment.room, step)
            segment.room += step
        return segment

    def _begin(self) -> _Segment:
        """A new segment, its name on the disk."""
        while True:
            name = secrets.token_hex(16)
            handle = os.open(self._folder / name, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o644)
            try:
                with suppress(OSError):  # without locks nothing will be swept
                    fcntl.flock(handle, fcntl.LOCK_EX)
                if os.fstat(handle).st_nlink:  # else a sweep has found it without its lock
                    files.sync(self._folder)
                    self._open[name] = _Segment(name, handle)
                    return self._open[name]
            finally:
                if name not in self._open:
                    os.close(handle)

    def _done(self, regions: Collection[Region]) -> None:
        """Regions are settled or given up; segments that are full and all settled are let go."""
        segment = self._turn.get()
        try:
            for region in regions:
                if (found := self._open.get(region.name)) is not None:
                    found.unsettled.discard(region.start)
                    self._close(found)
        finally:
            self._turn.put(segment)

    def _close(self, segment: _Segment) -> None:
        if segment.full and not segment.unsettled and segment.name in self._open:
            del self._open[segment.name]
            os.ftruncate(segment.handle, segment.end)
            os.close(segment.handle)

    def _free(self, name: str, regions: Sequence[Region]) -> None:
        self._clean.discard(name)
        try:
            handle = os.open(self._folder / name, os.O_RDWR)
        except FileNotFoundError:
            return
        try:
            for region in regions:
                files.punch(handle, region.start, up(region.length))
            os.fdatasync(handle)
            if not os.fstat(handle).st_blocks and _locked(handle):
                (self._folder / name).unlink(missing_ok=True)
        finally:
            os.close(handle)

    def _sweep(self, path: Path, used: Used) -> int:
        handle = os.open(path, os.O_RDWR)
        try:
            if not _locked(handle):
                return 0
            regions = sorted(used([path.name]))
            if not regions:
                path.unlink(missing_ok=True)
                return 1
            freed = 0
            for start, stop in gaps(regions):
                if files.has_data(handle, start, stop):
                    files.punch(handle, start, stop - start)
                    freed += 1
            end = end_of(regions[-1])
            if os.fstat(handle).st_size > end:
                os.ftruncate(handle, end)
            os.fdatasync(handle)
            self._clean.add(path.name)
            return freed
        finally:
            os.close(handle)


def _together(
    places: Sequence[tuple[_Segment, int]], piles: Sequence[Pieces]
) -> Iterator[tuple[_Segment, int, Pieces]]:
    """What is to be written where; of neighbours with the zeros between them."""
    last: _Segment | None = None
    first = end = 0
    found: list[bytes | memoryview] = []
    for (segment, start), pieces in zip(places, piles, strict=True):
        if segment is last and start == up(end):
            found.append(bytes(start - end))
        else:
            if last is not None:
                yield last, first, found
            last, first, end, found = segment, start, start, []
        found.extend(pieces)
        end = start + sum(map(len, pieces))
    if last is not None:
        yield last, first, found


def _locked(handle: int) -> bool:
    """Whether nobody writes to a segment; while the handle is open nobody will."""
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True

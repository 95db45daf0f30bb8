"""Media in a bucket of S3: a region is an object, the media of one batch.

    PREFIX/<store>/store      says that the bucket is this store's
    PREFIX/<store>/3f…        an object: 128 bits in hexadecimal

`<store>` is the identity that the database has, so stores that share a prefix never see each
other's objects. A PUT is durable when it is answered, so `settle` has nothing left to do; an object
is at most what one batch may hold, far below the 5 GB of a single PUT. Pieces are read by range, in
windows of which some are remembered for a second: a reader asks once for what lies side by side,
and nobody is told of bytes that are no longer there.

What could not be deleted because S3 was away is named by nothing, and goes with a later `sweep`.
"""

import secrets
import time
from collections.abc import Collection, Sequence
from contextlib import suppress
from functools import lru_cache

from rankspace.errors import Corrupt, InvalidConfig, NotFound, Overloaded
from rankspace.store.blobs import Pieces, Region, Used, is_name, parse_place
from rankspace.store.bucket import Bucket

_WINDOW = 512 << 10
_WINDOWS = 32  # remembered at once: 16 MiB
_FRESH_S = 1.0  # and no longer than this
_MARK = "store"


class Objects:
    """The objects of one store; safe to use from any number of threads and processes."""

    slow = True

    def __init__(self, bucket: Bucket, identity: str) -> None:
        self._bucket = bucket
        self._folder = f"{identity}/"
        self._window = lru_cache(_WINDOWS)(self._read_window)
        self._sweep_at = 0.0

    def claim(self) -> None:
        """Mark the bucket as this store's."""
        self._bucket.put(self._folder + _MARK, b"")

    def check(self) -> None:
        """Refuse a bucket that is not this store's."""
        pages = self._bucket.list(self._folder + _MARK)
        if not any(key == self._folder + _MARK for page in pages for key, _ in page):
            raise InvalidConfig(
                "this bucket holds no media of this database; name the bucket and prefix that the "
                "store was made with, or copy all of its objects here",
                "store.blobs",
            )

    def write_all(self, piles: Sequence[Pieces]) -> list[Region]:
        regions: list[Region] = []
        written = False
        try:
            regions.extend(map(self._write, piles))  # those before an error are there then
            written = True
        finally:
            if not written:
                self.free(regions)
        return regions

    def settle(self, regions: Collection[Region]) -> None:
        pass  # what was put is durable

    def get(self, place: str) -> bytes:
        name, start, length = parse_place(place)
        try:
            data = self._read(name, start, length)
        except NotFound as error:
            raise NotFound("the object of these media is not there") from error
        if len(data) != length:
            raise Corrupt("the object of these media is shorter than it was")
        return data

    def free(self, regions: Collection[Region]) -> None:
        with suppress(Overloaded):
            self._delete({region.name for region in regions})

    def sweep(self, used: Used, age_s: float) -> int:
        """Delete objects older than `age_s` that nothing names; at most once in as long."""
        if time.monotonic() < self._sweep_at:
            return 0
        freed = 0
        for page in self._bucket.list(self._folder):
            old = [key.removeprefix(self._folder) for key, age in page if age >= age_s]
            names = list(filter(is_name, old))
            unused = set(names).difference(region.name for region in used(names)) if names else ()
            self._delete(unused)
            freed += len(unused)
        self._sweep_at = time.monotonic() + age_s
        return freed

    def close(self) -> None:
        self._bucket.close()

    def _write(self, pieces: Pieces) -> Region:
        data = b"".join(pieces)  # of a single one of bytes it makes no copy
        region = Region(secrets.token_hex(16), 0, len(data))
        self._bucket.put(self._folder + region.name, data)
        return region

    def _delete(self, names: Collection[str]) -> None:
        if names:
            self._bucket.delete([self._folder + name for name in names])

    def _read(self, name: str, start: int, length: int) -> bytes:
        if not length:
            return b""
        if length > _WINDOW // 2:
            return self._bucket.get(self._folder + name, start, length)
        first, last = start // _WINDOW, (start + length - 1) // _WINDOW
        turn = int(time.monotonic() / _FRESH_S)
        data = b"".join(self._window(name, number, turn) for number in range(first, last + 1))
        at = start - first * _WINDOW
        return data[at : at + length]

    def _read_window(self, name: str, number: int, _turn: int) -> bytes:
        return self._bucket.get(self._folder + name, number * _WINDOW, _WINDOW)

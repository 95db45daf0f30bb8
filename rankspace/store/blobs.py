"""Large media in files: one file, a blob, for the large media of one batch.

    blobs/ab/ab34…     128 bits in hexadecimal; the first two digits are the folder

A place in it is written "name:start:length". A blob is written once, under a name that nobody else
has, and synced before the rows that name it commit; so a crash may leave a blob that nothing names,
never a name without its blob, and `sweep` removes what nothing names. Nothing is shared between
batches, so whether other bytes are there already tells nobody anything, and what a stream keeps no
longer goes with its own blobs. Bytes are checked by the content hash of the sample they belong to.
"""

import os
import secrets
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from itertools import count
from pathlib import Path

from rankspace.errors import Corrupt, NotFound
from rankspace.store import faults, files

_TURN = 1024  # blobs that one process puts into a folder before it takes the next
_HEX = "[0-9a-f]"


class Pile:
    """The large media of one batch on their way into a blob."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.pieces: list[bytes] = []
        self._size = 0

    def add(self, piece: bytes) -> str:
        """Take a piece; its place."""
        start = self._size
        self.pieces.append(piece)
        self._size += len(piece)
        return f"{self.name}:{start}:{len(piece)}"


class Blobs:
    """A folder of blobs; safe to use from any number of threads and processes."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        files.make_folder(folder)
        for number in range(256):
            (folder / f"{number:02x}").mkdir(exist_ok=True)
        files.sync(folder)
        self._turns = count(secrets.randbelow(256) * _TURN)

    def pile(self) -> Pile:
        """Where to gather the media of a batch."""
        folder = next(self._turns) // _TURN % 256  # neighbours share a folder: one sync for all
        return Pile(f"{folder:02x}{secrets.token_hex(15)}")

    def put(self, pile: Pile) -> str:
        """Write a blob; its bytes are on disk when this returns, its name after `settle`."""
        with faults.disk():
            try:
                files.write(self._path(pile.name), pile.pieces)
            except OSError:
                self.remove([pile.name])
                raise
        return pile.name

    def settle(self, names: Iterable[str]) -> None:
        """Bring the names of blobs to disk."""
        with faults.disk():
            for folder in {self._path(name).parent for name in names}:
                files.sync(folder)

    def get(self, place: str) -> bytes:
        """The bytes at a place; who asks checks them."""
        name, start, length = parse_place(place)
        try:
            with self._path(name).open("rb") as file:
                data = os.pread(file.fileno(), length, start)
        except FileNotFoundError as error:
            raise NotFound("the blob of these media is not there") from error
        except OSError as error:
            raise Corrupt("the blob of these media cannot be read") from error
        if len(data) != length:
            raise Corrupt("the blob of these media is shorter than it was")
        return data

    def names(self) -> Iterator[str]:
        """Every blob there is."""
        return (path.name for path in self._folder.glob(f"{_HEX * 2}/{_HEX * 32}"))

    def remove(self, names: Iterable[str]) -> None:
        """Remove blobs that nothing names any more."""
        for name in names:
            self._path(name).unlink(missing_ok=True)

    def sweep(self, used: Callable[[Sequence[str]], Collection[str]], age_s: float) -> int:
        """Remove blobs older than `age_s` that nothing names; return how many.

        A blob is put some moments before its rows commit: `age_s` is longer than any append takes.
        """
        before = time.time() - age_s
        removed = 0
        for folder in self._folder.iterdir():
            old = [path.name for path in folder.iterdir() if path.stat().st_mtime <= before]
            for at in range(0, len(old), 256):
                some = old[at : at + 256]
                unused = set(some).difference(used(some))
                self.remove(unused)
                removed += len(unused)
        return removed

    def _path(self, name: str) -> Path:
        return self._folder / name[:2] / name


def parse_place(place: str) -> tuple[str, int, int]:
    """Name, start and length; a place that was damaged must not lead out of the folder."""
    name, _, rest = place.partition(":")
    start, _, length = rest.partition(":")
    if not (len(name) == 32 and name.isalnum() and start.isdecimal() and length.isdecimal()):
        raise Corrupt("a record names no place in a blob")
    return name, int(start), int(length)

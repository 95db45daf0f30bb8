"""Large media, each a file named by its SHA-256: the same bytes are kept once.

    blobs/ab/ab34…   the first two hex digits are the folder

A blob is whole or absent (see `files`). It is written before the row that names it commits, so a
crash may leave a blob that nothing names, never a name without its blob; `sweep` removes what
nothing names.
"""

import hashlib
import os
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from rankspace.errors import Corrupt, NotFound
from rankspace.store import files


class Blobs:
    """A folder of blobs; safe to use from any number of threads and processes."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        files.make_folder(folder)

    def put(self, data: bytes) -> str:
        """Keep some bytes; return their name. They are on disk when this returns."""
        name = hashlib.sha256(data).hexdigest()
        self.put_all({name: data})
        return name

    def put_all(self, named: Mapping[str, bytes]) -> None:
        """Keep bytes under their names (hex SHA-256)."""
        absent = {name: data for name, data in named.items() if not self._touch(name)}
        for name in absent:
            files.make_folder(self._path(name).parent)
        files.write_all({self._path(name): data for name, data in absent.items()})

    def get(self, name: str) -> bytes:
        """The bytes again, checked against their name."""
        try:
            data = self._path(name).read_bytes()
        except FileNotFoundError as error:
            raise NotFound(f"there is no blob {name}") from error
        if hashlib.sha256(data).hexdigest() != name:
            raise Corrupt(f"blob {name} does not hold what was written")
        return data

    def names(self) -> Iterator[str]:
        """Every blob there is."""
        return (path.name for path in self._folder.glob("[0-9a-f][0-9a-f]/[0-9a-f]*"))

    def sweep(self, used: Callable[[str], bool], age_s: float) -> int:
        """Remove unused blobs untouched for `age_s`, and unfinished files; return how many.

        Putting a blob that is there already touches it: so one that a running append is about to
        name is young, and stays.
        """
        before = time.time() - age_s
        removed = 0
        for path in self._folder.glob("[0-9a-f][0-9a-f]/*"):
            finished = not path.name.endswith(files.PART)
            if path.stat().st_mtime <= before and not (finished and used(path.name)):
                path.unlink(missing_ok=True)
                removed += 1
        return removed

    def _path(self, name: str) -> Path:
        return self._folder / name[:2] / name

    def _touch(self, name: str) -> bool:
        """Make a blob young; whether it is there."""
        try:
            os.utime(self._path(name))
        except FileNotFoundError:
            return False
        return True

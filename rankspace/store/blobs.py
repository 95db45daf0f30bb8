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
from rankspace.store import faults, files

_ASIDE = ".aside"


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

    def put_all(self, named: Mapping[str, bytes], synced: bool = True) -> None:
        """Keep bytes under their names (hex SHA-256); on disk when this returns, if `synced`.

        A blob that is there already is read again: one that a power cut or the disk has damaged is
        written anew, and one that was left unsynced is synced.
        """
        with faults.disk():
            absent = {name: data for name, data in named.items() if not self._whole(name, synced)}
            for name in absent:
                files.make_folder(self._path(name).parent)
            files.write_all({self._path(name): data for name, data in absent.items()}, synced)

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
        return (path.name for path in self._folder.glob("[0-9a-f][0-9a-f]/" + "[0-9a-f]" * 64))

    def sweep(self, used: Callable[[str], bool], age_s: float) -> int:
        """Remove unused blobs untouched for `age_s`, and unfinished files; return how many.

        Putting a blob that is there already touches it: so one that a running append is about to
        name is young, and stays. A blob is set aside before it is looked at for the last time: an
        append finds it absent from then on and writes it anew, or has touched it, and it is put
        back. So it is too when a sweep was ended midway.
        """
        before = time.time() - age_s
        removed = 0
        for path in self._folder.glob("[0-9a-f][0-9a-f]/*"):
            if path.name.endswith(files.PART):
                removed += _remove(path) if path.stat().st_mtime <= before else 0
            elif path.name.endswith(_ASIDE):
                removed += self._settle(path, used, before)
            elif path.stat().st_mtime <= before and not used(path.name):
                aside = path.with_name(path.name + _ASIDE)
                path.rename(aside)
                removed += self._settle(aside, used, before)
        return removed

    def _settle(self, aside: Path, used: Callable[[str], bool], before: float) -> int:
        """Put a blob back that somebody needs after all, or remove it."""
        name = aside.name.removesuffix(_ASIDE)
        if used(name) or aside.stat().st_mtime > before:
            aside.replace(self._path(name))
            return 0
        return _remove(aside)

    def _path(self, name: str) -> Path:
        return self._folder / name[:2] / name

    def _whole(self, name: str, synced: bool) -> bool:
        """Make a blob young; whether it is there, undamaged and, if need be, on disk."""
        path = self._path(name)
        try:
            os.utime(path)
            if hashlib.sha256(path.read_bytes()).hexdigest() != name:
                return False
            if synced:
                files.sync(path)
                files.sync(path.parent)
        except OSError:  # not there, or the disk does not give it back: it is written anew
            return False
        return True


def _remove(path: Path) -> int:
    path.unlink(missing_ok=True)
    return 1

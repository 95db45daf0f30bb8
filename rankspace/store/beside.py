"""SQLite's files, opened beside SQLite without taking its locks away.

SQLite locks `store.db` and `store.db-shm` by fcntl, and such a lock belongs to a process and a
file, not to a handle: it is gone as soon as the process closes any handle of that file. Another
process then finds itself alone: it begins a log that is in use anew, or removes it. So, while this
process has a database open, nobody in it opens `store.db`, and the one handle of the index stays
open until the last connection has gone. The log itself is never locked.
Source: sqlite.org/howtocorrupt.html, 2.2.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from queue import SimpleQueue


@dataclass(slots=True)
class _Open:
    """A database that this process has open."""

    count: int = 0
    index: int | None = None
    """The handle of its index."""

    names: set[Path] = field(default_factory=set)
    """What it was opened as."""


_opened: dict[Path, _Open] = {}
_named: dict[Path, _Open] = {}
"""The same by what they were opened as: commits ask, and to follow a path takes a while."""

_turn: SimpleQueue[None] = SimpleQueue()
_turn.put(None)  # who takes it out is alone with all of this


@contextmanager
def _alone() -> Iterator[None]:
    _turn.get()
    try:
        yield
    finally:
        _turn.put(None)


@contextmanager
def opening(database: Path) -> Iterator[bool]:
    """Open a database inside: whether this process has not had it open; `closed` undoes it."""
    with _alone():
        found = _opened.setdefault(database.resolve(), _Open())
        done = False
        try:
            yield found.count == 0
            found.count += 1
            found.names.add(database)
            _named[database] = found
            done = True
        finally:
            if not done and not found.count:
                del _opened[database.resolve()]


def closed(database: Path) -> None:
    """One that was opened has no connection any more."""
    with _alone():
        found = _opened[database.resolve()]
        found.count -= 1
        if not found.count:
            del _opened[database.resolve()]
            for name in found.names:
                _named.pop(name, None)
            if found.index is not None:
                os.close(found.index)


def index(database: Path, at: int, size: int) -> bytes:
    """Bytes of the index of the log; none where there is no index or the database is not open."""
    path = database.with_name(database.name + "-shm")
    with _alone():
        found = _named.get(database) or _opened.get(database.resolve())
        if found is None:
            return b""
        try:
            if found.index is not None and not os.path.samestat(os.fstat(found.index), path.stat()):
                os.close(found.index)  # of an index that is gone: it has no locks
                found.index = None
            if found.index is None:
                found.index = os.open(path, os.O_RDONLY)
        except FileNotFoundError:
            return b""
        return os.pread(found.index, size, at)

"""What databases and disks say when something is wrong, as leaves of the library's tree.

    it will pass: a lock, a connection, a server that restarts, a full disk   → Overloaded
    what is stored cannot be read for what it was                            → Corrupt
    a text that PostgreSQL cannot hold                                       → InvalidInput
    the answer to a COMMIT did not come: it may have been done or not       → Unreachable
    everything else is a bug of ours and stays what it is

Sources: sqlite.org/rescode.html; PostgreSQL manual, appendix A (SQLSTATE).
"""

import errno
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy.exc import DataError, DBAPIError, IntegrityError, InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from rankspace.errors import Corrupt, InvalidInput, Overloaded, RankspaceError, Unreachable

_FULL = "the disk of the store is full"
_DAMAGED = "the database of the store is damaged"
_BUSY = "the store is busy"
_DISK = "the disk of the store cannot be read or written"
_AWAY = "the database of the store cannot be reached"
_UNKNOWN = "whether this was stored is not known; ask for the next offset and go on there"

_SQLITE: dict[int, RankspaceError] = {
    sqlite3.SQLITE_BUSY: Overloaded(_BUSY, retry_after_s=1.0),
    sqlite3.SQLITE_LOCKED: Overloaded(_BUSY, retry_after_s=1.0),
    sqlite3.SQLITE_FULL: Overloaded(_FULL, retry_after_s=60.0),
    sqlite3.SQLITE_IOERR: Overloaded(_DISK, retry_after_s=10.0),
    sqlite3.SQLITE_CANTOPEN: Overloaded(_DISK, retry_after_s=10.0),
    sqlite3.SQLITE_READONLY: Overloaded(_DISK, retry_after_s=10.0),
    sqlite3.SQLITE_CORRUPT: Corrupt(_DAMAGED),
    sqlite3.SQLITE_NOTADB: Corrupt(_DAMAGED),
}
"""By the primary result code."""

UNSYNCED = {
    sqlite3.SQLITE_IOERR_WRITE,
    sqlite3.SQLITE_IOERR_FSYNC,
    sqlite3.SQLITE_IOERR_DIR_FSYNC,
}
"""After these nobody knows what of the log is on the disk (extended result codes)."""

_STATES: dict[str, RankspaceError] = {
    "08": Overloaded(_AWAY, retry_after_s=1.0),  # connection exceptions
    "40": Overloaded(_BUSY, retry_after_s=0.1),  # serialization failure, deadlock
    "55P03": Overloaded(_BUSY, retry_after_s=1.0),  # lock_timeout
    "57014": Overloaded(_BUSY, retry_after_s=1.0),  # statement_timeout, or somebody cancelled it
    "57": Overloaded(_AWAY, retry_after_s=1.0),  # shut down, starting up, crashed
    "22": InvalidInput("a text is too long or holds what the database cannot keep"),
    "25P03": Overloaded(_BUSY, retry_after_s=1.0),  # idle_in_transaction_session_timeout
    "25006": Overloaded("the database of the store is read-only", retry_after_s=10.0),
    "53100": Overloaded(_FULL, retry_after_s=60.0),
    "53": Overloaded(_BUSY, retry_after_s=1.0),  # too many connections, out of memory
    "58": Overloaded(_DISK, retry_after_s=10.0),
    "XX001": Corrupt(_DAMAGED),
    "XX002": Corrupt(_DAMAGED),
}
"""By SQLSTATE, or by its class where no state has a row of its own."""

_NO_ROOM = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}


@contextmanager
def told() -> Iterator[None]:
    """Turn what the database says into leaves; IntegrityError is for the caller to read."""
    try:
        yield
    except IntegrityError:
        raise
    except PoolTimeout as error:
        raise Overloaded("all connections to the store are in use", retry_after_s=1.0) from error
    except DBAPIError as error:
        raise (_leaf(error) or error) from error.orig
    except sqlite3.Error as error:
        raise (_of_sqlite(error) or error) from error


@contextmanager
def committing() -> Iterator[None]:
    """Tell a commit that was refused from one of which nobody knows whether it was done.

    A database that went away may have committed before it went. SQLite may have the commit in its
    log although the fsync failed, and find it there after a crash.
    """
    try:
        yield
    except DBAPIError as error:
        leaf = _leaf(error)
        if isinstance(leaf, Overloaded) and leaf.message in (_AWAY, _DISK):
            raise Unreachable(_UNKNOWN, retry_after_s=leaf.retry_after_s) from error.orig
        raise


@contextmanager
def disk() -> Iterator[None]:
    """Turn what the disk says while something is written into a leaf."""
    try:
        yield
    except OSError as error:
        if error.errno in _NO_ROOM:
            raise Overloaded(_FULL, retry_after_s=60.0) from error
        raise Overloaded(_DISK, retry_after_s=10.0) from error


def _leaf(error: DBAPIError) -> RankspaceError | None:
    if isinstance(error.orig, sqlite3.Error):
        return _of_sqlite(error.orig)
    state = getattr(error.orig, "sqlstate", None) or ""
    found = _STATES.get(state) or _STATES.get(state[:2])
    if not state and isinstance(error, DataError):
        found = _STATES["22"]  # the driver itself says so, as it does below
    elif not state and isinstance(error, OperationalError | InterfaceError):
        found = _STATES["08"]
    return _again(found)


def _of_sqlite(error: sqlite3.Error) -> RankspaceError | None:
    if str(error).startswith("Could not decode to UTF-8"):
        return Corrupt(_DAMAGED)
    return _again(_SQLITE.get(getattr(error, "sqlite_errorcode", 0) & 0xFF))


def _again(error: RankspaceError | None) -> RankspaceError | None:
    """A fresh one: an exception that is raised twice would keep both tracebacks."""
    return type(error)(*error.args) if error is not None else None

"""How far SQLite's log has grown, and how much of it is in the database already.

Until a page of the log is in the database the log grows; once all of it is, the next commit begins
the log anew and writes over it, which is faster than making it longer. SQLite would see to that
within commits, and each would wait for it. So the server does it beside them, and asks here when.

Both numbers stand in the index of the log, a file that all processes share:

    16   u32  pages in the log          96   u32  of them, pages in the database

Integers are in the machine's order. Source: sqlite.org/walformat.html#the_wal_index_file_format.
"""

import struct
from pathlib import Path

from rankspace.store import beside
from rankspace.store.database import Database

Pages = tuple[int, int]
"""Pages in the log, and how many of them are in the database."""

DUE_PAGES = 1024
OVERDUE_PAGES = 16_384

_AT = 16
_NUMBERS = struct.Struct("=I76xI")


class Checkpoints:
    """When the log of one store is to come into its database. On PostgreSQL it never is."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._looked_at = 0

    def look(self) -> Pages:
        """How long the log is now."""
        return pages(self._database.file) if self._database.file is not None else (0, 0)

    def due(self, found: Pages) -> bool:
        """Whether a checkpoint beside the commits is worth its while."""
        log, done = found
        return log - done >= DUE_PAGES

    def overdue(self, found: Pages) -> bool:
        """Whether commits should wait for one, so that the log can begin anew.

        Where a reader holds it up, they wait again only when the log has grown as much again.
        """
        log, _ = found
        if log < self._looked_at:
            self._looked_at = 0
        if log - self._looked_at < OVERDUE_PAGES:
            return False
        self._looked_at = log
        return True

    def run(self) -> None:
        """Bring the log into the database, beside readers and a writer."""
        self._database.checkpoint()


def pages(database: Path) -> Pages:
    """What there is of the log; this process has the database open."""
    head = beside.index(database, _AT, _NUMBERS.size)
    log, done = _NUMBERS.unpack(head) if len(head) == _NUMBERS.size else (0, 0)
    return log, done

"""Leases: what only one of several processes may do at a time, and which of them does.

A lease is a row: who holds it, its term, its beat. The holder lets it beat. Who waits looks at the
row again and again, and takes the lease when the beat has stood still for long by the waiter's own
clock; no two clocks are ever compared. Taking compares and sets, so one of many gets it.

A holder that was stopped for a while does not know that it has lost the lease. So every taking
begins a new term, what is done under a lease carries its term, and `check_term` refuses an old one
in the transaction of the deed itself.

Source: C. Gray and D. Cheriton, "Leases: an efficient fault-tolerant mechanism for distributed file
cache consistency", SOSP 1989; terms are the generation numbers of Chubby's sequencers (M. Burrows,
OSDI 2006).
"""

from dataclasses import dataclass

from sqlalchemy import Connection, insert, select, update

from rankspace.errors import Fenced
from rankspace.store.database import Database
from rankspace.store.schema import leases


@dataclass(frozen=True, slots=True)
class Lease:
    """A lease as somebody saw it."""

    name: str
    holder: str = ""
    """Who holds it; empty: nobody."""

    term: int = 0
    """Counts the takings; 0 before the first."""

    beat: int = 0
    """Grows while the holder lives."""


class Leases:
    """All leases of a store; safe to use from any number of threads and processes."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def get(self, name: str) -> Lease:
        """A lease as it is now."""
        with self._database.read() as connection:
            return _lease(connection, name)

    def take(self, seen: Lease, holder: str) -> Lease | None:
        """Hold a lease from now on; None: it is no longer as it was seen."""
        with self._database.alone() as connection:
            if _lease(connection, seen.name) != seen:
                return None
            taken = Lease(seen.name, holder, seen.term + 1)
            values = {"holder": taken.holder, "term": taken.term, "beat": taken.beat}
            if seen.term:
                query = update(leases).where(leases.c.name == taken.name)
                connection.execute(query.values(**values))
            else:
                connection.execute(insert(leases).values(name=taken.name, **values))
        return taken

    def beat(self, held: Lease) -> bool:
        """Tell that the holder lives; False: the lease is another's now."""
        where = leases.c.name == held.name, leases.c.term == held.term
        with self._database.write() as connection:
            query = update(leases).where(*where).values(beat=leases.c.beat + 1)
            return bool(connection.execute(query).rowcount)

    def give(self, held: Lease) -> None:
        """Let go of a lease, if it is still held."""
        where = leases.c.name == held.name, leases.c.term == held.term
        with self._database.write() as connection:
            connection.execute(update(leases).where(*where).values(holder=""))


def check_term(connection: Connection, name: str, term: int) -> None:
    """Raise Fenced if a later term has begun. Term 0 takes no part in this."""
    if term and _lease(connection, name).term != term:
        raise Fenced("another server does this now; what is done for an earlier one is void")


def _lease(connection: Connection, name: str) -> Lease:
    row = connection.execute(select(leases).where(leases.c.name == name)).one_or_none()
    return Lease(**row._mapping) if row is not None else Lease(name)

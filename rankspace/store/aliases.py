"""Aliases: names that are moved from one model version to another, and back.

Every move is kept. To roll back is to move to what the alias meant before the present move, so
roll-backs in a row go further and further back, and none is forgotten.
"""

import re
from typing import Any

from sqlalchemy import Connection, Row, func, insert, select
from sqlalchemy.exc import IntegrityError

from rankspace.errors import InvalidInput, NotFound, Refused
from rankspace.store.database import Database, now_us
from rankspace.store.entries import Alias, Page
from rankspace.store.names import OWNED, owned
from rankspace.store.schema import aliases

NAME = re.compile(OWNED + r"[a-z0-9][a-z0-9-]{0,62}")
"""What models and aliases may be called."""

_MOVES_MAX = 100  # moves of an alias that are looked at: how far back one can roll


class Aliases:
    """All aliases of a store; safe to use from any number of threads and processes."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def get(self, alias: str) -> Alias:
        """Where an alias stands."""
        with self._database.read() as connection:
            return _standing(_moves(connection, alias))

    def list(self, size: int = 100, token: str = "", tenant: str | None = None) -> Page[Alias]:
        """Where the aliases stand, by name, `size` at a time; of all tenants, or of one."""
        name = aliases.c.alias
        query = select(name).where(name > token, owned(name, tenant)).distinct()
        query = query.order_by(name).limit(size + 1)
        with self._database.read() as connection:
            names = connection.scalars(query).all()
            items = tuple(_standing(_moves(connection, name)) for name in names[:size])
        return Page(items, items[-1].alias if len(names) > size else "")

    def promote(self, alias: str, reference: str) -> Alias:
        """Move an alias to name@version; where it stands already, nothing moves."""
        name, version = parse_reference(reference)
        if not NAME.fullmatch(alias):
            raise InvalidInput("an alias is 1 to 63 of a-z 0-9 -, no - first", "alias")
        try:
            with self._database.alone() as connection:
                moves = _moves(connection, alias)
                if not moves or (moves[0].name, moves[0].version) != (name, version):
                    before = moves[0].revision if moves else 0
                    _move(connection, alias, (name, version), before, rolled_back=False)
                return _standing(_moves(connection, alias))
        except IntegrityError as error:
            raise NotFound(f"there is no model {reference}", "model") from error

    def roll_back(self, alias: str) -> Alias:
        """Move an alias back to what it meant before."""
        with self._database.alone() as connection:
            moves = _moves(connection, alias)
            before = _earlier(moves)
            if moves and not before:
                raise Refused(f"alias {alias} has meant no other model that it could go back to")
            if before:
                target = before[0].name, before[0].version
                _move(connection, alias, target, before[0].before, rolled_back=True)
            return _standing(_moves(connection, alias))


def parse_reference(reference: str) -> tuple[str, int]:
    """The name and the version in name@version."""
    name, _, version = reference.partition("@")
    if not version.isdecimal() or not 0 < len(version) < 19 or int(version) < 1:
        raise InvalidInput("a version is written name@number, such as model@3", "model")
    return name, int(version)


def _moves(connection: Connection, alias: str) -> list[Row[Any]]:
    """The newest moves of an alias, the newest first."""
    query = select(aliases).where(aliases.c.alias == alias).order_by(aliases.c.revision.desc())
    return list(connection.execute(query.limit(_MOVES_MAX)))


def _move(
    connection: Connection, alias: str, target: tuple[str, int], before: int, rolled_back: bool
) -> None:
    newest = select(func.max(aliases.c.revision)).where(aliases.c.alias == alias)
    revision = (connection.scalar(newest) or 0) + 1
    values = {"name": target[0], "version": target[1], "before": before}
    query = insert(aliases).values(alias=alias, revision=revision, moved_us=now_us(), **values)
    connection.execute(query.values(rolled_back=rolled_back))


def _earlier(moves: list[Row[Any]]) -> list[Row[Any]]:
    """The moves that roll-backs would return to, one after the other."""
    by_revision = {move.revision: move for move in moves}
    found = []
    move = moves[0] if moves else None
    while move is not None and (move := by_revision.get(move.before)) is not None:
        found.append(move)
    return found


def _standing(moves: list[Row[Any]]) -> Alias:
    if not moves:
        raise NotFound("there is no such alias", "alias")
    values = {key: value for key, value in moves[0]._mapping.items() if key != "before"}
    return Alias(**values, history=tuple(f"{row.name}@{row.version}" for row in _earlier(moves)))

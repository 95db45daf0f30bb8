"""Who may ask, and how much of the store is whose.

A token is kept as its SHA-256 only, so that nobody who reads the database can ask with it. It may
expire, and it may be revoked; either way its row stays, and its name is never used again: what a
log says of a name was always done by the same holder.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Row, exists, func, insert, select, update
from sqlalchemy.exc import IntegrityError

from rankspace.errors import AlreadyExists, InvalidInput, NotFound
from rankspace.store.database import Database, now_us
from rankspace.store.names import TENANT, owned
from rankspace.store.schema import access_tokens, streams


@dataclass(frozen=True, slots=True)
class StoredToken:
    """A token as the store knows it."""

    name: str
    """What logs call its holder."""

    sha256: str
    """Hex SHA-256 of the token."""

    scopes: tuple[str, ...]
    """What its holder may do."""

    tenant: str
    """Whose names its holder sees; empty: those of no tenant."""

    created_us: int
    expires_us: int | None
    """From when on it is worth nothing; None: never."""

    revoked_us: int | None
    """Since when it is worth nothing; None: it was not revoked."""

    def holds(self, at_us: int) -> bool:
        """Whether it is worth anything at this time."""
        return self.revoked_us is None and (self.expires_us is None or at_us < self.expires_us)


@dataclass(frozen=True, slots=True)
class Holding:
    """How much of the store is one tenant's."""

    bytes: int
    """Media bytes that are kept, as sent."""

    open_streams: int
    """Streams that still take samples."""


class Access:
    """The tokens of a store; safe to use from any number of threads and processes."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def create(self, token: StoredToken) -> StoredToken:
        """Keep a token."""
        if not 0 < len(token.name) <= 63 or not token.name.isprintable():
            raise InvalidInput("a token's name is 1 to 63 characters that can be printed", "name")
        if token.tenant and not TENANT.fullmatch(token.tenant):
            raise InvalidInput("a tenant is 1 to 31 of a-z 0-9 -, no - first", "tenant")
        values = {
            "name": token.name, "sha256": token.sha256, "scopes": list(token.scopes),
            "tenant": token.tenant, "created_us": token.created_us,
            "expires_us": token.expires_us, "revoked_us": token.revoked_us,
        }  # fmt: skip
        try:
            with self._database.write() as connection:
                connection.execute(insert(access_tokens).values(**values))
        except IntegrityError as error:
            raise AlreadyExists(
                f"a token was called {token.name} before; take another name", "name"
            ) from error
        return token

    def list(self) -> tuple[StoredToken, ...]:
        """Every token there ever was, by name."""
        with self._database.read() as connection:
            query = select(access_tokens).order_by(access_tokens.c.name)
            return tuple(map(_token, connection.execute(query)))

    def revoke(self, name: str) -> StoredToken:
        """Make a token worth nothing from now on; one that is so already stays as it is."""
        where = access_tokens.c.name == name
        with self._database.write() as connection:
            live = where, access_tokens.c.revoked_us.is_(None)
            connection.execute(update(access_tokens).where(*live).values(revoked_us=now_us()))
            row = connection.execute(select(access_tokens).where(where)).one_or_none()
        if row is None:
            raise NotFound(f"there is no token called {name}", "name")
        return _token(row)

    def find(self, digests: Sequence[str]) -> dict[str, StoredToken]:
        """The tokens with these hashes, whatever they are worth."""
        where = access_tokens.c.sha256.in_(digests)
        with self._database.read() as connection:
            rows = connection.execute(select(access_tokens).where(where))
            return {row.sha256: _token(row) for row in rows}

    def any(self) -> bool:
        """Whether there ever was a token: then nobody may ask without one."""
        with self._database.read() as connection:
            return bool(connection.scalar(select(exists().select_from(access_tokens))))

    def holding(self, tenant: str, stream: str = "") -> Holding:
        """How much is kept for a tenant, or in one of its streams."""
        named = streams.c.name == stream if stream else owned(streams.c.name, tenant)
        where = named & ~streams.c.deleted
        kept = func.coalesce(func.sum(streams.c.kept_bytes), 0)
        still = select(func.count()).select_from(streams).where(where, ~streams.c.finalized)
        with self._database.read() as connection:
            found = connection.scalar(select(kept).where(where)), connection.scalar(still)
        return Holding(*(int(value or 0) for value in found))


def _token(row: Row[Any]) -> StoredToken:
    return StoredToken(**dict(row._mapping) | {"scopes": tuple(row.scopes)})

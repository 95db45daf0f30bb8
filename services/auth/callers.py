"""Who asks, known to everything that a call does."""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass

from services.auth.rules import SCOPES, Scope


@dataclass(frozen=True, slots=True)
class Caller:
    """Who asks."""

    name: str
    """What logs call the caller."""

    scopes: frozenset[Scope] = frozenset(SCOPES)
    """What the caller may do."""

    tenant: str = ""
    """Whose names the caller sees; empty: those of no tenant."""

    sha256: str = ""
    """Of a token of the store, whose worth may end at any time; else empty."""


ANYONE = Caller("anyone")
"""Who asks where nobody needs to say."""

_ASKS: ContextVar[Caller] = ContextVar("caller", default=ANYONE)


def caller() -> Caller:
    """Who asks, inside a call."""
    return _ASKS.get()


@contextmanager
def asks(who: Caller) -> Iterator[None]:
    """Say who asks, for the length of the block."""
    before = _ASKS.set(who)
    try:
        yield
    finally:
        _ASKS.reset(before)

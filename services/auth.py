"""Who asks: bearer tokens, of which the server keeps the hashes only.

`authorization: Bearer <token>` in a call's metadata. Tokens are long and random (`new_token`), so
one round of SHA-256 is enough to keep them: there is nothing to guess.
"""

import hashlib
import hmac
import secrets
from collections.abc import Sequence

from pydantic import Field

from rankspace.config import Config
from rankspace.errors import Denied

ANYONE = "anyone"
"""Who asks where no tokens are set."""

OPEN = frozenset({"/grpc.health.v1.Health/Check", "/grpc.health.v1.Health/Watch"})
"""Asked by machines that hold no token; they tell nothing but whether the server serves."""


class Token(Config):
    """One caller."""

    name: str = Field(min_length=1, max_length=63)
    """What logs call the caller."""

    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")
    """Hex SHA-256 of the token."""


class AuthConfig(Config):
    """Who may ask."""

    tokens: tuple[Token, ...] = ()
    """Empty: anyone who can reach the server, which must then listen on loopback."""


class Guard:
    """Tells callers from strangers."""

    def __init__(self, config: AuthConfig) -> None:
        self._tokens = config.tokens

    def who(self, method: str, metadata: Sequence[tuple[str, str | bytes]]) -> str:
        """The caller's name; Denied to strangers."""
        if not self._tokens or method in OPEN:
            return ANYONE
        sent = [value for key, value in metadata if key == "authorization"]
        if len(sent) != 1 or not isinstance(sent[0], str) or not sent[0].startswith("Bearer "):
            raise Denied("who asks is unknown; send one authorization: Bearer <token>")
        hashed = digest(sent[0].removeprefix("Bearer "))
        names = [token.name for token in self._tokens if hmac.compare_digest(token.sha256, hashed)]
        if not names:
            raise Denied("the token is not known; ask who runs the server for one")
        return names[0]


def digest(token: str) -> str:
    """What the server keeps of a token."""
    return hashlib.sha256(token.encode()).hexdigest()


def new_token(name: str) -> tuple[str, Token]:
    """A token to hand out and what to keep of it."""
    token = secrets.token_urlsafe(32)
    return token, Token(name=name, sha256=digest(token))

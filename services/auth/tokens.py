"""Bearer tokens, of which the server keeps the hashes only.

`authorization: Bearer <token>` in a call's metadata. Tokens are long and random (`new_token`), so
one round of SHA-256 is enough to keep them: there is nothing to guess.
"""

import hashlib
import secrets
from collections.abc import Sequence

from rankspace.errors import Denied
from services.auth.config import Token

PREFIX = "rank_"
"""Begins every token, so that programs which look for secrets in files can tell one."""


def digest(token: str) -> str:
    """What the server keeps of a token."""
    return hashlib.sha256(token.encode()).hexdigest()


def new_secret() -> str:
    """A token to hand out."""
    return PREFIX + secrets.token_urlsafe(32)


def new_token(name: str) -> tuple[str, Token]:
    """A token to hand out and what to keep of it."""
    token = new_secret()
    return token, Token(name=name, sha256=digest(token))


def sent(metadata: Sequence[tuple[str, str | bytes]]) -> str:
    """The token that a call carries; "" if none, Denied if it is unclear which."""
    found = [value for key, value in metadata if key == "authorization"]
    if not found:
        return ""
    if len(found) > 1 or not isinstance(found[0], str) or not found[0].startswith("Bearer "):
        raise Denied("who asks is unknown; send one authorization: Bearer <token>")
    return found[0].removeprefix("Bearer ")

"""Who may ask."""

from pydantic import Field

from rankspace.config import Config
from rankspace.store.names import TENANT
from services.auth.rules import SCOPES, Scope


class Token(Config):
    """One caller."""

    name: str = Field(min_length=1, max_length=63)
    """What logs call the caller."""

    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")
    """Hex SHA-256 of the token."""

    scopes: tuple[Scope, ...] = SCOPES
    """What the caller may do."""

    tenant: str = Field(default="", pattern=rf"^({TENANT.pattern})?$")
    """Whose streams, jobs and models the caller sees; empty: those of no tenant."""


class Certificate(Config):
    """One caller who shows a certificate that `client_ca` has signed."""

    identity: str = Field(min_length=1, max_length=253)
    """A name in the certificate: a subject alternative name, or the common name without one."""

    name: str = Field(min_length=1, max_length=63)
    """What logs call the caller."""

    scopes: tuple[Scope, ...] = SCOPES
    """What the caller may do."""

    tenant: str = Field(default="", pattern=rf"^({TENANT.pattern})?$")
    """Whose streams, jobs and models the caller sees; empty: those of no tenant."""


class AuthConfig(Config):
    """Who may ask. As soon as there is one token, here or in the store, nobody may without one."""

    tokens: tuple[Token, ...] = ()
    """Tokens that always hold; `rankspace tokens` makes others while the server runs."""

    certificates: tuple[Certificate, ...] = ()
    """Whom certificates name; without any, whoever shows one that `client_ca` has signed may all
    that no token is asked for."""

    required: bool = False
    """Refuse who does not say who asks, even while there is no token."""

    recheck_s: float = Field(default=2.0, gt=0, le=60)
    """How long the store's word on a token is believed, and how often it is asked about calls that
    are open: a token that was revoked or has expired ends them within twice that."""

    remembered_max: int = Field(default=4096, gt=0, le=1 << 20)
    """Tokens of the store whose worth is remembered; the longest unused is looked up anew."""

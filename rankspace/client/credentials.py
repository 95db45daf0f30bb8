"""Who this client is and whom it trusts: from options, the environment or a file, in this order.

    option          variable                  in client.toml
    token           RANKSPACE_TOKEN           token
    token_file      RANKSPACE_TOKEN_FILE      token_file
    ca              RANKSPACE_CA              ca
    certificate     RANKSPACE_CERTIFICATE     certificate
    key             RANKSPACE_KEY             key

The file is that of RANKSPACE_CLIENT, else `rankspace/client.toml` in the folder of the user's
settings, if there is one.
"""

import os
from collections.abc import Mapping
from pathlib import Path

from rankspace.client.connection import Tls
from rankspace.config import Config, content, parse, read
from rankspace.errors import InvalidConfig

PREFIX = "RANKSPACE_"


class Credentials(Config):
    """Who this client is and whom it trusts."""

    token: str | None = None
    """The token itself."""

    token_file: Path | None = None
    """A file with the token, where `token` is not set."""

    ca: Path | None = None
    """PEM of who signs the server's certificate; unset: whom the system trusts."""

    certificate: Path | None = None
    """PEM chain that says who this client is; belongs with `key`."""

    key: Path | None = None
    """PEM key of the certificate."""

    def secret(self) -> str | None:
        """The token to send."""
        if self.token or self.token_file is None:
            return self.token or None
        text = content(self.token_file, "token_file").decode("utf-8", "replace").strip()
        if not text.isascii() or not text.isprintable() or not text:
            raise InvalidConfig("token_file holds no token; it is one line", "token_file")
        return text

    def tls(self) -> Tls | None:
        """The keys to encrypt with; None where nothing was said of them."""
        if bool(self.certificate) != bool(self.key):
            raise InvalidConfig("certificate and key belong together; give both", "certificate")
        paths = {"ca": self.ca, "certificate": self.certificate, "key": self.key}
        if not any(paths.values()):
            return None
        pem = {name: content(path, name) if path else None for name, path in paths.items()}
        return Tls(pem["ca"], pem["certificate"], pem["key"])


def credentials(
    options: Mapping[str, str | Path | None] | None = None,
    environment: Mapping[str, str] = os.environ,
) -> Credentials:
    """What is known of this client; an option that is None or empty was not given."""
    names = Credentials.model_fields
    values: dict[str, object] = {}
    path = _file(environment)
    if path is not None:
        values |= read(path)
    values |= {name: environment[key] for name in names if environment.get(key := _variable(name))}
    values |= {name: str(value) for name, value in (options or {}).items() if value}
    return parse(Credentials, values, "credentials")


def _file(environment: Mapping[str, str]) -> Path | None:
    named = environment.get(f"{PREFIX}CLIENT")
    if named:
        return Path(named)
    home = environment.get("XDG_CONFIG_HOME") or Path.home() / ".config"
    found = Path(home) / "rankspace" / "client.toml"
    return found if found.is_file() else None


def _variable(name: str) -> str:
    return PREFIX + name.upper()

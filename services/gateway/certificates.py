"""The server's certificate, read again when its files change.

gRPC asks for it with every new connection. A pair that does not fit together, such as a certificate
that was replaced before its key, is not taken: the one in use stays until both fit. Connections
that are open keep what they began with.
"""

from pathlib import Path
from typing import Any

import grpc
import structlog

from rankspace.config import content
from rankspace.errors import InvalidConfig
from services.gateway.config import GatewayConfig

log = structlog.get_logger()


class Certificates:
    """The files of a config, as gRPC wants them."""

    def __init__(self, config: GatewayConfig) -> None:
        if not (config.certificate and config.key):
            raise InvalidConfig(
                "gateway.certificate and gateway.key belong together; set both",
                "gateway.certificate",
            )
        self._paths = {"gateway.key": config.key, "gateway.certificate": config.certificate}
        if config.client_ca:
            self._paths["gateway.client_ca"] = config.client_ca
        self._seen = self._look()

    def credentials(self) -> grpc.ServerCredentials:
        """Credentials that follow the files."""
        asks = "gateway.client_ca" in self._paths
        changed: Any = self._changed  # may give None, whatever its type says
        return grpc.dynamic_ssl_server_credentials(self._read(), changed, asks)

    def _changed(self) -> grpc.ServerCertificateConfiguration | None:
        """What the files hold, if they have changed."""
        try:
            seen = self._look()
            if seen == self._seen:
                return None
            found = self._read()
        except InvalidConfig as error:
            log.warning("the certificate stays", problem=str(error))
            return None
        self._seen = seen
        log.info("certificate read", path=str(self._paths["gateway.certificate"].name))
        return found

    def _look(self) -> dict[str, tuple[int, int, int]]:
        """What tells that a file was replaced or written."""
        return {field: _stamp(path, field) for field, path in self._paths.items()}

    def _read(self) -> grpc.ServerCertificateConfiguration:
        pem = {field: content(path, field) for field, path in self._paths.items()}
        pair = (pem["gateway.key"], pem["gateway.certificate"])
        return grpc.ssl_server_certificate_configuration([pair], pem.get("gateway.client_ca"))


def _stamp(path: Path, field: str) -> tuple[int, int, int]:
    try:
        found = path.stat()
    except OSError as error:
        raise InvalidConfig(f"{field}: cannot read it: {error.strerror}", field) from error
    return found.st_mtime_ns, found.st_size, found.st_ino

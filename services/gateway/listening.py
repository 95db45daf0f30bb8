"""Taking a port: on loopback, or with a certificate and a way to tell who asks."""

import ipaddress
from pathlib import Path

import grpc

from rankspace.errors import InvalidConfig
from services.gateway.config import GatewayConfig


def listen(server: grpc.aio.Server, config: GatewayConfig) -> int:
    """Make the server listen; the port it got."""
    credentials = _credentials(config)
    if not is_loopback(config.address):
        if credentials is None:
            raise InvalidConfig(
                f"{config.address} can be reached from outside: set gateway.certificate and "
                "gateway.key, or listen on 127.0.0.1",
                "gateway.certificate",
            )
        if not (config.auth.tokens or config.client_ca):
            raise InvalidConfig(
                f"{config.address} can be reached from outside: set gateway.auth.tokens or "
                "gateway.client_ca, or listen on 127.0.0.1",
                "gateway.auth.tokens",
            )
    try:
        if credentials is None:
            return server.add_insecure_port(config.address)
        return server.add_secure_port(config.address, credentials)
    except RuntimeError as error:
        raise InvalidConfig(
            f"cannot listen on {config.address}; another program may be there", "gateway.address"
        ) from error


def _credentials(config: GatewayConfig) -> grpc.ServerCredentials | None:
    if not (config.certificate or config.key or config.client_ca):
        return None
    if not (config.certificate and config.key):
        raise InvalidConfig(
            "gateway.certificate and gateway.key belong together; set both", "gateway.certificate"
        )
    pair = (_pem(config.key, "gateway.key"), _pem(config.certificate, "gateway.certificate"))
    ca = _pem(config.client_ca, "gateway.client_ca") if config.client_ca else None
    return grpc.ssl_server_credentials([pair], ca, require_client_auth=ca is not None)


def _pem(path: Path, field: str) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise InvalidConfig(f"{field}: cannot read it: {error.strerror}", field) from error


def is_loopback(address: str) -> bool:
    """Whether only this machine can reach an address."""
    host = address.rpartition(":")[0].strip("[]")
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False

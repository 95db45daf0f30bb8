"""Taking a port: on loopback, or with a certificate and a way to tell who asks."""

import ipaddress

import grpc

from rankspace.errors import InvalidConfig
from services.gateway.certificates import Certificates
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
        if not (config.auth.tokens or config.auth.required or config.client_ca):
            raise InvalidConfig(
                f"{config.address} can be reached from outside: set gateway.auth.required, "
                "gateway.auth.tokens or gateway.client_ca, or listen on 127.0.0.1",
                "gateway.auth.required",
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
    return Certificates(config).credentials()


def is_loopback(address: str) -> bool:
    """Whether only this machine can reach an address."""
    host = address.rpartition(":")[0].strip("[]")
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False

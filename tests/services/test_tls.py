"""With a certificate the door speaks TLS only, and tells clients by theirs where a CA is set."""

import datetime as dt
from pathlib import Path
from typing import Any

import grpc
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from rankspace.v1 import ingestion_pb2 as pb
from rankspace.v1.ingestion_pb2_grpc import IngestionServiceStub
from services.auth import AuthConfig, new_token
from services.gateway.config import GatewayConfig
from services.gateway.server import running
from tests.services.parrot import ParrotEngine

LIST = pb.ListStreamsRequest()
DEAF = (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.UNAUTHENTICATED)


def self_signed(folder: Path) -> tuple[Path, Path]:
    """Key and certificate of "localhost", which is its own authority."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = dt.datetime.now(dt.UTC)
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(hours=1))
        .not_valid_after(now + dt.timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    private = key.private_bytes(
        pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    (folder / "key.pem").write_bytes(private)
    (folder / "certificate.pem").write_bytes(certificate.public_bytes(pem))
    return folder / "key.pem", folder / "certificate.pem"


async def listed(port: int, credentials: grpc.ChannelCredentials, token: str = "") -> bool:
    """Whether a client with these credentials is heard."""
    metadata = (("authorization", f"Bearer {token}"),) if token else ()
    async with grpc.aio.secure_channel(f"localhost:{port}", credentials) as channel:
        stub: Any = IngestionServiceStub(channel)
        try:
            await stub.ListStreams(LIST, metadata=metadata, timeout=5)
        except grpc.aio.AioRpcError as error:
            if error.code() not in DEAF:
                raise
            return False
        return True


async def test_a_token_over_tls_is_heard_from_outside_and_nothing_else_is(
    engine: ParrotEngine, tmp_path: Path
) -> None:
    key, certificate = self_signed(tmp_path)
    token, kept = new_token("anna")
    config = GatewayConfig(
        address="0.0.0.0:0", key=key, certificate=certificate,
        auth=AuthConfig(tokens=(kept,)), grace_s=0,
    )  # fmt: skip
    trusting = grpc.ssl_channel_credentials(certificate.read_bytes())
    async with running(config, engine) as port:
        assert await listed(port, trusting, token)
        assert not await listed(port, trusting)
        assert not await listed(port, grpc.ssl_channel_credentials(), token)
        async with grpc.aio.insecure_channel(f"localhost:{port}") as channel:
            stub: Any = IngestionServiceStub(channel)
            with pytest.raises(grpc.aio.AioRpcError):
                await stub.ListStreams(LIST, timeout=5)


async def test_where_a_ca_is_set_only_its_clients_are_heard(
    engine: ParrotEngine, tmp_path: Path
) -> None:
    key, certificate = self_signed(tmp_path)
    config = GatewayConfig(
        address="127.0.0.1:0", key=key, certificate=certificate, client_ca=certificate, grace_s=0
    )
    pem = certificate.read_bytes()
    async with running(config, engine) as port:
        assert await listed(port, grpc.ssl_channel_credentials(pem, key.read_bytes(), pem))
        assert not await listed(port, grpc.ssl_channel_credentials(pem))

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

from rankspace.client import AsyncClient, Tls
from rankspace.errors import Denied, Unreachable
from rankspace.v1 import ingestion_pb2 as pb
from rankspace.v1.ingestion_pb2_grpc import IngestionServiceStub
from services.auth import AuthConfig, Certificate, new_token
from services.gateway.config import GatewayConfig
from services.gateway.server import running
from tests.services.parrot import ParrotEngine

LIST = pb.ListStreamsRequest()
DEAF = (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.UNAUTHENTICATED)


PEM = serialization.Encoding.PEM


def signed(
    folder: Path, name: str, by: tuple[Path, Path] | None = None, host: str = "localhost"
) -> tuple[Path, Path]:
    """Key and certificate of a host, as files NAME.key and NAME.pem, signed by another pair."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    signer, issuer = key, subject
    if by is not None:
        loaded = serialization.load_pem_private_key(by[0].read_bytes(), None)
        assert isinstance(loaded, ec.EllipticCurvePrivateKey)
        signer, issuer = loaded, x509.load_pem_x509_certificate(by[1].read_bytes()).subject
    now = dt.datetime.now(dt.UTC)
    certificate = (
        x509.CertificateBuilder(issuer, subject, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(hours=1))
        .not_valid_after(now + dt.timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(host)]), critical=False)
        .add_extension(x509.BasicConstraints(ca=by is None, path_length=None), critical=True)
        .sign(signer, hashes.SHA256())
    )
    private = key.private_bytes(
        PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    found = folder / f"{name}.key", folder / f"{name}.pem"
    found[0].write_bytes(private)
    found[1].write_bytes(certificate.public_bytes(PEM))
    return found


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
    key, certificate = signed(tmp_path, "server")
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
    key, certificate = signed(tmp_path, "server")
    config = GatewayConfig(
        address="127.0.0.1:0", key=key, certificate=certificate, client_ca=certificate, grace_s=0
    )
    pem = certificate.read_bytes()
    async with running(config, engine) as port:
        assert await listed(port, grpc.ssl_channel_credentials(pem, key.read_bytes(), pem))
        assert not await listed(port, grpc.ssl_channel_credentials(pem))


async def test_a_new_certificate_is_shown_without_a_restart_once_its_key_fits(
    engine: ParrotEngine, tmp_path: Path
) -> None:
    (tmp_path / "new").mkdir()
    first, second = signed(tmp_path, "server"), signed(tmp_path / "new", "server")
    old, new = first[1].read_bytes(), second[1].read_bytes()
    config = GatewayConfig(address="127.0.0.1:0", key=first[0], certificate=first[1], grace_s=0)
    async with running(config, engine) as port:
        assert await listed(port, grpc.ssl_channel_credentials(old))
        second[1].rename(first[1])
        assert await listed(port, grpc.ssl_channel_credentials(old))
        second[0].rename(first[0])
        assert await listed(port, grpc.ssl_channel_credentials(new))
        assert not await listed(port, grpc.ssl_channel_credentials(old))
        first[0].unlink()
        assert await listed(port, grpc.ssl_channel_credentials(new))


async def test_a_certificate_says_who_its_holder_is_and_whose_names_are_seen(
    engine: ParrotEngine, tmp_path: Path
) -> None:
    authority = signed(tmp_path, "authority")
    server = signed(tmp_path, "server", authority)
    edge = signed(tmp_path, "edge", authority, host="edge-1.acme")
    other = signed(tmp_path, "other", authority, host="other.acme")
    own = signed(tmp_path, "own")
    named = Certificate(identity="edge-1.acme", name="edge", scopes=("ingest",), tenant="acme")
    config = GatewayConfig(
        address="0.0.0.0:0", key=server[0], certificate=server[1], client_ca=authority[1],
        auth=AuthConfig(certificates=(named,)), grace_s=0,
    )  # fmt: skip
    roots = authority[1].read_bytes()
    async with running(config, engine) as port:
        for pair, refused in (
            (edge, None),
            (other, Denied),
            (own, Unreachable),
            (None, Unreachable),
        ):
            shown = (pair[1].read_bytes(), pair[0].read_bytes()) if pair else (None, None)
            async with AsyncClient(f"localhost:{port}", tls=Tls(roots, *shown)) as client:
                if refused is None:
                    await client.create_stream("photos")
                else:
                    with pytest.raises(refused):
                        await client.create_stream("theirs")
    assert [stream.name for stream in engine.store.log.list().items] == ["acme/photos"]

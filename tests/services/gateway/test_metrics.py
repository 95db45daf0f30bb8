"""The page for Prometheus: on a port of its own, closed unless asked for, guarded like the door."""

import asyncio
import socket
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import grpc
import pytest

from rankspace.errors import InvalidConfig
from rankspace.media.sample import Part, Sample
from rankspace.v1 import ingestion_pb2 as pb
from rankspace.v1.ingestion_pb2_grpc import IngestionServiceStub
from rankspace.wire.ingestion import write_batch
from services.auth import AuthConfig, new_token
from services.gateway.config import GatewayConfig
from services.gateway.server import running
from services.telemetry import metrics
from tests.services.parrot import ParrotEngine
from tests.services.test_tls import signed


async def asked(port: int, head: str, tls: ssl.SSLContext | None = None) -> tuple[int, str]:
    """What a request is answered with: status, body."""
    name = "localhost" if tls else None
    reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=tls, server_hostname=name)
    writer.write(head.encode())
    answer = (await reader.read()).decode()
    writer.close()
    await writer.wait_closed()
    headers, _, body = answer.partition("\r\n\r\n")
    return int(headers.split(" ")[1]), body


def free_port() -> int:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return int(taken.getsockname()[1])


def get(path: str = "/metrics", token: str = "") -> str:
    bearer = f"Authorization: Bearer {token}\r\n" if token else ""
    return f"GET {path} HTTP/1.1\r\nHost: here\r\n{bearer}\r\n"


def figures(page: str) -> dict[str, float]:
    """Every figure by its name and labels."""
    pairs = (line.rsplit(" ", 1) for line in page.splitlines() if line[0] != "#")
    return {name: float(value) for name, value in pairs}


@asynccontextmanager
async def serving(engine: ParrotEngine, **given: Any) -> AsyncIterator[tuple[int, int]]:
    """A server with metrics: its port, and the port of the page."""
    page = free_port()
    settings: dict[str, Any] = {"address": "127.0.0.1:0", "grace_s": 0} | given
    settings["metrics_address"] = f"127.0.0.1:{page}"
    async with running(GatewayConfig(**settings), engine) as port:
        yield port, page


def text(name: str) -> Sample:
    return Sample(name, (Part("text", b"four words of text"),))


async def appended(port: int, *batches: pb.SampleBatch) -> None:
    """Append to the stream "a", which is made."""
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        stub: Any = IngestionServiceStub(channel)
        await stub.CreateStream(pb.CreateStreamRequest(stream_id="a"))
        setup = pb.AppendSamplesRequest(setup=pb.AppendSetup(stream="streams/a"))
        requests = [setup, *(pb.AppendSamplesRequest(batch=batch) for batch in batches)]
        answers = [answer async for answer in stub.AppendSamples(iter(requests))]
        assert len(answers) == len(requests)
        read = stub.ReadSamples(pb.ReadSamplesRequest(stream="streams/a"))
        assert [answer async for answer in read]


async def test_what_was_appended_refused_and_read_is_on_the_page(engine: ParrotEngine) -> None:
    first = write_batch([text("x"), text("y")], 0)
    bad = write_batch([text("z"), Sample("no parts", ())], 2)
    gap = write_batch([text("w")], 9)
    async with serving(engine) as (port, page):
        await appended(port, first, first, bad, gap)
        code, body = await asked(page, get())
    found = figures(body)
    assert code == 200
    batches = 'rankspace_append_batches_total{outcome="%s",tenant=""}'
    assert found[batches % "stored"] == 2
    assert found[batches % "duplicate"] == 1
    assert found[batches % "refused"] == 1
    assert found['rankspace_append_samples_total{tenant=""}'] == 3
    assert found['rankspace_append_bytes_total{tenant=""}'] == 3 * 18
    assert found['rankspace_append_rejects_total{reason="MALFORMED_MEDIA",tenant=""}'] == 1
    assert found['rankspace_append_refusals_total{reason="OFFSET_GAP",tenant=""}'] == 1
    assert found['rankspace_read_samples_total{tenant=""}'] == 3
    assert found["rankspace_credit_batches"] == found["rankspace_credit_bytes"] == 0
    assert found["rankspace_append_seconds_count"] == 4
    method = 'method="IngestionService/AppendSamples"'
    assert found[f'rankspace_calls_total{{code="OK",{method},tenant=""}}'] == 1
    assert found[f"rankspace_calls_open{{{method}}}"] == 0
    assert found['rankspace_jobs{state="running"}'] == 0
    assert 0 < found["rankspace_event_loop_late_seconds_max"] < 60
    assert found["process_resident_memory_bytes"] > 1e6


async def test_every_metric_there_is_stands_on_the_page(engine: ParrotEngine) -> None:
    async with serving(engine) as (_, page):
        _, body = await asked(page, get())
    described = {line.split(" ")[2] for line in body.splitlines() if line.startswith("# HELP")}
    assert {metric.name for metric in metrics.KNOWN} <= described


@pytest.mark.parametrize(
    ("request_text", "code"),
    [
        (get("/"), 404),
        (get("/metrics/../x"), 404),
        ("POST /metrics HTTP/1.1\r\n\r\n", 405),
        ("nonsense\r\n\r\n", 400),
        ("GET /metrics HTTP/1.1\r\nX: " + "a" * 20_000 + "\r\n\r\n", 400),
    ],
)
async def test_there_is_nothing_else_on_that_port(
    engine: ParrotEngine, request_text: str, code: int
) -> None:
    async with serving(engine) as (_, page):
        assert (await asked(page, request_text))[0] == code
        assert (await asked(page, get()))[0] == 200


async def test_without_an_address_nothing_listens_and_nothing_is_counted(
    engine: ParrotEngine,
) -> None:
    async with running(GatewayConfig(address="127.0.0.1:0", grace_s=0), engine):
        assert all(metric.live is None for metric in metrics.KNOWN)
    async with serving(engine) as (_, page):
        assert all(metric.live is not None for metric in metrics.KNOWN)
    with pytest.raises(ConnectionRefusedError):
        await asked(page, get())


async def test_where_callers_are_asked_who_they_are_so_is_prometheus(
    engine: ParrotEngine,
) -> None:
    (may, kept), (narrow, other), (tenant, third) = (new_token(name) for name in "abc")
    tokens = (
        kept.model_copy(update={"scopes": ("read",)}),
        other.model_copy(update={"scopes": ("ingest",)}),
        third.model_copy(update={"tenant": "t"}),
    )
    async with serving(engine, auth=AuthConfig(tokens=tokens)) as (_, page):
        assert (await asked(page, get()))[0] == 401
        assert (await asked(page, get(token="x" * 43)))[0] == 401
        assert (await asked(page, get(token=narrow)))[0] == 403
        assert (await asked(page, get(token=tenant)))[0] == 403
        assert (await asked(page, get(token=may)))[0] == 200


@pytest.mark.parametrize("address", ["0.0.0.0:0", "nowhere", "127.0.0.1:", "[::]:0"])
async def test_a_page_that_others_could_reach_unasked_is_refused(
    engine: ParrotEngine, address: str
) -> None:
    config = GatewayConfig(address="127.0.0.1:0", metrics_address=address, grace_s=0)
    with pytest.raises(InvalidConfig, match=r"metrics_address|reached from outside"):
        async with running(config, engine):
            pytest.fail("it serves")


async def test_with_a_certificate_the_page_speaks_tls(engine: ParrotEngine, tmp_path: Path) -> None:
    key, certificate = signed(tmp_path, "server")
    async with serving(engine, certificate=certificate, key=key) as (_, page):
        trusted = ssl.create_default_context(cafile=str(certificate))
        assert (await asked(page, get(), trusted))[0] == 200
        with pytest.raises((ConnectionError, IndexError)):
            await asked(page, get())


async def test_a_new_certificate_is_taken_without_a_restart(
    engine: ParrotEngine, tmp_path: Path
) -> None:
    key, certificate = signed(tmp_path, "server")
    newer_key, newer = signed(tmp_path, "newer")
    async with serving(engine, certificate=certificate, key=key) as (_, page):
        trusted = ssl.create_default_context(cafile=str(newer))
        with pytest.raises(ssl.SSLCertVerificationError):
            await asked(page, get(), trusted)
        newer_key.replace(key)
        newer.replace(certificate)
        assert (await asked(page, get(), trusted))[0] == 200

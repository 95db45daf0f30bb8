"""The front door: what it opens to, what it keeps out, and how it closes."""

import asyncio
import json
import logging
import signal
import socket
import sys
from pathlib import Path
from typing import Any

import grpc
import pytest
import structlog
from google.protobuf.descriptor_pb2 import FileDescriptorProto
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

from rankspace.errors import InvalidConfig
from rankspace.v1 import generation_pb2 as gen
from rankspace.v1 import ingestion_pb2 as pb
from rankspace.v1.generation_pb2_grpc import GenerationServiceStub
from rankspace.v1.ingestion_pb2_grpc import IngestionServiceStub
from services.auth import AuthConfig, new_token
from services.gateway.config import GatewayConfig
from services.gateway.listening import listen
from services.gateway.server import running
from services.gateway.signs import SERVICES
from tests.services.parrot import ParrotEngine
from tests.services.refusal import refusal

LOCAL = "127.0.0.1:0"
SERVING = health_pb2.HealthCheckResponse.SERVING
LIST = pb.ListStreamsRequest()


def dial(port: int) -> grpc.aio.Channel:
    return grpc.aio.insecure_channel(f"127.0.0.1:{port}")


async def test_health_serves_the_whole_and_each_service(channel: grpc.aio.Channel) -> None:
    stub: Any = health_pb2_grpc.HealthStub(channel)
    for name in ("", *SERVICES):
        found = await stub.Check(health_pb2.HealthCheckRequest(service=name))
        assert found.status == SERVING


async def test_reflection_tells_a_stranger_s_client_all_services(
    channel: grpc.aio.Channel,
) -> None:
    stub: Any = reflection_pb2_grpc.ServerReflectionStub(channel)  # type: ignore[arg-type]
    request = reflection_pb2.ServerReflectionRequest
    wanted = [request(list_services=""), request(file_containing_symbol=SERVICES[0])]
    listed, described = [answer async for answer in stub.ServerReflectionInfo(iter(wanted))]
    assert {*SERVICES} < {service.name for service in listed.list_services_response.service}
    files = described.file_descriptor_response.file_descriptor_proto
    assert FileDescriptorProto.FromString(files[0]).package == "rankspace.v1"


async def test_a_server_whose_store_does_not_open_never_serves(engine: ParrotEngine) -> None:
    engine.store.close()
    (engine.store.config.folder / "store.db").write_bytes(b"not a database" * 100)
    with pytest.raises(Exception, match="damaged"):
        async with running(GatewayConfig(address=LOCAL, grace_s=0), engine):
            pytest.fail("it serves")


async def test_a_stranger_is_refused_and_health_is_not(engine: ParrotEngine) -> None:
    token, kept = new_token("anna")
    auth = AuthConfig(tokens=(kept,))
    async with (
        running(GatewayConfig(address=LOCAL, auth=auth, grace_s=0), engine) as port,
        dial(port) as channel,
    ):
        stub: Any = IngestionServiceStub(channel)
        for metadata in ((), (("authorization", "Bearer wrong"),), (("authorization", token),)):
            code, reason, *_ = await refusal(stub.ListStreams(LIST, metadata=metadata))
            assert (code, reason) == (grpc.StatusCode.UNAUTHENTICATED, "DENIED")
        assert await stub.ListStreams(LIST, metadata=(("authorization", f"Bearer {token}"),))
        generate: Any = GenerationServiceStub(channel)
        assert (await refusal(generate.Generate().read()))[0] == grpc.StatusCode.UNAUTHENTICATED
        health: Any = health_pb2_grpc.HealthStub(channel)
        assert (await health.Check(health_pb2.HealthCheckRequest())).status == SERVING
    assert token not in kept.model_dump_json()


@pytest.mark.parametrize(
    ("config", "field"),
    [
        (GatewayConfig(address="0.0.0.0:0"), "gateway.certificate"),
        (GatewayConfig(address="[::]:0"), "gateway.certificate"),
        (GatewayConfig(address="example.org:0"), "gateway.certificate"),
        (GatewayConfig(address=LOCAL, key=Path("key.pem")), "gateway.certificate"),
        (GatewayConfig(address=LOCAL, key=Path("k"), certificate=Path("c")), "gateway.key"),
        (GatewayConfig(address="127.0.0.1:x"), "gateway.address"),
    ],
)
async def test_a_door_that_cannot_be_guarded_stays_shut(config: GatewayConfig, field: str) -> None:
    with pytest.raises(InvalidConfig) as caught:
        listen(grpc.aio.server(), config)
    assert caught.value.field == field


async def test_a_certificate_without_a_way_to_tell_who_asks_is_not_enough(tmp_path: Path) -> None:
    for name in ("key", "certificate"):
        (tmp_path / name).write_text("never read as PEM before the refusal")
    config = GatewayConfig(
        address="0.0.0.0:0",
        key=tmp_path / "key",
        certificate=tmp_path / "certificate",
    )
    with pytest.raises(InvalidConfig) as caught:
        listen(grpc.aio.server(), config)
    assert caught.value.field == "gateway.auth.required"


async def test_a_port_that_is_taken_is_said_to_be(engine: ParrotEngine) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        with pytest.raises(InvalidConfig, match="another program may be there"):
            async with running(GatewayConfig(address=address), engine):
                pytest.fail("two on one port")


async def test_one_call_more_than_there_is_room_for_is_told_to_come_again(
    engine: ParrotEngine,
) -> None:
    async with (
        running(GatewayConfig(address=LOCAL, calls_max=1, grace_s=0), engine) as port,
        dial(port) as channel,
    ):
        generate: Any = GenerationServiceStub(channel)
        call = generate.Generate()
        await call.write(gen.GenerateRequest(setup=gen.GenerateSetup()))
        await call.read()
        stub: Any = IngestionServiceStub(channel)
        code, reason, *_ = await refusal(stub.ListStreams(LIST))
        assert (code, reason) == (grpc.StatusCode.RESOURCE_EXHAUSTED, "OVERLOADED")
        health: Any = health_pb2_grpc.HealthStub(channel)
        watch = health.Watch(health_pb2.HealthCheckRequest())
        assert (await watch.read()).status == SERVING
        code, *_ = await refusal(health.Check(health_pb2.HealthCheckRequest()))
        assert code == grpc.StatusCode.RESOURCE_EXHAUSTED
        watch.cancel()
        await call.done_writing()
        await call.read()
        assert await stub.ListStreams(LIST) is not None


async def test_a_message_too_large_ends_its_call_and_nothing_else(engine: ParrotEngine) -> None:
    config = GatewayConfig(address=LOCAL, message_bytes_max=1 << 20, grace_s=0)
    async with running(config, engine) as port, dial(port) as channel:
        stub: Any = IngestionServiceStub(channel)
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await stub.CreateStream(pb.CreateStreamRequest(stream_id="a" * (1 << 20)))
        assert caught.value.code() == grpc.StatusCode.RESOURCE_EXHAUSTED
        assert await stub.ListStreams(LIST) is not None


async def test_the_port_is_written_once_it_serves(engine: ParrotEngine, tmp_path: Path) -> None:
    ready = tmp_path / "port"
    async with running(GatewayConfig(address=LOCAL, grace_s=0, port_file=ready), engine) as port:
        assert int(ready.read_text()) == port


PROGRAM = """
import asyncio, sys
from pathlib import Path
import uvloop
from rankspace.store.config import StoreConfig
from rankspace.store.store import Store
from services import telemetry
from services.gateway.config import GatewayConfig
from services.gateway.server import serve
from tests.services.parrot import ParrotEngine
telemetry.start()
folder = Path(sys.argv[1])
config = GatewayConfig(address="127.0.0.1:0", port_file=folder / "port")
engine = ParrotEngine(Store.open(StoreConfig(folder=folder)))
uvloop.run(serve(config, engine))
"""


async def test_a_process_serves_on_uvloop_logs_json_and_drains_on_sigterm(tmp_path: Path) -> None:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", PROGRAM, str(tmp_path), stderr=asyncio.subprocess.PIPE
    )
    assert process.stderr is not None
    async with asyncio.timeout(30):
        first = json.loads(await process.stderr.readline())
        assert int((tmp_path / "port").read_text()) == first["port"]
        async with dial(first["port"]) as channel:
            stub: Any = IngestionServiceStub(channel)
            await stub.CreateStream(pb.CreateStreamRequest(stream_id="a"))
            await refusal(stub.CreateStream(pb.CreateStreamRequest(stream_id="a")))
        process.send_signal(signal.SIGTERM)
        _, logged = await process.communicate()
    assert process.returncode == 0
    lines = [first, *map(json.loads, logged.splitlines())]
    ways = ("listening", "draining", "closed")
    assert tuple(line["event"] for line in lines if line["event"] in ways) == ways
    calls = [line["code"] for line in lines if line["event"] == "call"]
    assert calls == ["OK", "ALREADY_EXISTS"]


def test_logs_of_libraries_are_json_too(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from services import telemetry

    root = logging.getLogger()
    monkeypatch.setattr(root, "handlers", [*root.handlers])
    try:
        telemetry.start()
        logging.getLogger("library").warning("odd %s", "thing")
        assert json.loads(capsys.readouterr().err)["event"] == "odd thing"
    finally:
        structlog.reset_defaults()

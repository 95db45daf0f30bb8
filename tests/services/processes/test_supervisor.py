"""What a supervisor tells its processes, and when a server beside others says that it serves."""

import asyncio
import os
from pathlib import Path

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from rankspace.errors import InvalidConfig
from services.config import ProcessesConfig, ServerConfig, server_config
from services.gateway.config import GatewayConfig
from services.gateway.server import running
from services.processes.supervisor import beside
from tests.services.holders import dial
from tests.services.parrot import ParrotEngine

SERVING = health_pb2.HealthCheckResponse.SERVING
NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING


def test_each_process_has_the_port_in_common_and_a_page_of_figures_of_its_own() -> None:
    metrics = GatewayConfig(metrics_address="127.0.0.1:9464", port_file=Path("port"))
    config = ServerConfig(gateway=metrics)
    found = [beside(config, "127.0.0.1:7000", number).gateway for number in (1, 2, 3)]
    assert [one.metrics_address for one in found] == [f"127.0.0.1:946{at}" for at in (4, 5, 6)]
    assert {(one.address, one.port_file) for one in found} == {("127.0.0.1:7000", None)}
    silent = beside(ServerConfig(), "127.0.0.1:7000", 2)
    assert silent.gateway.metrics_address == ""
    any_port = ServerConfig(gateway=GatewayConfig(metrics_address="127.0.0.1:0"))
    assert beside(any_port, "127.0.0.1:7000", 2).gateway.metrics_address == "127.0.0.1:0"


@pytest.mark.parametrize(("cores", "number"), [(1, 1), (2, 1), (4, 2), (9, 4)])
def test_the_number_of_processes_follows_the_cores_where_it_is_left_to_them(
    monkeypatch: pytest.MonkeyPatch, cores: int, number: int
) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(cores)))
    assert ProcessesConfig(processes="auto").number == number
    assert ProcessesConfig(processes=3).number == 3
    assert ProcessesConfig().number == 1


def test_the_number_is_taken_from_the_environment() -> None:
    for given, number in (("3", 3), ("auto", "auto")):
        config = server_config(None, {"RANKSPACE_SERVER__PROCESSES": given})
        assert config.server.processes == number
    with pytest.raises(InvalidConfig, match=r"server\.processes"):
        server_config(None, {"RANKSPACE_SERVER__PROCESSES": "many"})


async def test_health_waits_until_all_serve(engine: ParrotEngine) -> None:
    began, all_serve = asyncio.Event(), asyncio.Event()

    async def others() -> None:
        began.set()
        await all_serve.wait()

    config = GatewayConfig(address=f"127.0.0.1:{await free_port()}", grace_s=0)
    server = running(config, engine, others)
    entering = asyncio.create_task(server.__aenter__())
    await began.wait()
    async with dial(int(config.address.rpartition(":")[2])) as channel:
        assert await health(channel) == {NOT_SERVING}
        all_serve.set()
        await entering
        assert await health(channel) == {SERVING}
    await server.__aexit__(None, None, None)


async def health(channel: grpc.aio.Channel) -> set[int]:
    """What is said of the server and of a service in it."""
    stub = health_pb2_grpc.HealthStub(channel)
    names = ("", "rankspace.v1.IngestionService")
    asked = [health_pb2.HealthCheckRequest(service=name) for name in names]
    return {(await stub.Check(one)).status for one in asked}  # type: ignore[attr-defined]


async def free_port() -> int:
    """A port that nobody listens on now."""
    server = await asyncio.start_server(lambda _, __: None, "127.0.0.1", 0)
    async with server:
        return int(server.sockets[0].getsockname()[1])

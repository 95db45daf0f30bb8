"""A disk that fails to sync, as whoever watches the server from outside sees it."""

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from rankspace.client.failures import failure
from rankspace.media.sample import Part, Sample
from rankspace.v1 import ingestion_pb2 as pb
from rankspace.v1.ingestion_pb2_grpc import IngestionServiceStub
from rankspace.wire.ingestion import write_batch
from tests.robustness.powercut import COMPILER, Disk
from tests.robustness.server import Server
from tests.services.gateway.test_metrics import asked, figures, free_port, get

pytestmark = pytest.mark.skipif(COMPILER is None, reason="install a C compiler (cc): no bad disks")

WITHIN_S = 20
SMALL, LARGE = (Part("text", b"x" * size) for size in (10, 5000))  # 1,000 bytes stay beside a row
SERVICES = {name: f"rankspace.v1.{name}Service"
            for name in ("Ingestion", "Training", "Model", "Generation")}  # fmt: skip
ALL_SERVE = dict.fromkeys(["", *SERVICES], "SERVING")
STOPPED = dict.fromkeys(["", *SERVICES], "NOT_SERVING") | {"Generation": "SERVING"}


class Watcher:
    """Who writes to a server, asks for its health and reads its metrics."""

    def __init__(self, server: Server, disk: Disk) -> None:
        self.server, self.disk = server, disk
        self._page = free_port()
        metrics = {"RANKSPACE_GATEWAY__METRICS_ADDRESS": f"127.0.0.1:{self._page}"}
        server.environment.update(disk.environment | metrics)

    async def start(self) -> None:
        """Start the server and dial it."""
        await self.server.start()
        self.channel = grpc.aio.insecure_channel(f"127.0.0.1:{self.server.port}")
        self.stub: Any = IngestionServiceStub(self.channel)

    async def end(self) -> None:
        """Hang up and kill the server."""
        await self.channel.close()
        self.server.kill()

    async def appends(self, part: Part) -> bool:
        """Append to the end of the stream; whether that is acknowledged."""
        setup = pb.AppendSamplesRequest(setup=pb.AppendSetup(stream="streams/s"))
        batch = pb.AppendSamplesRequest(batch=write_batch([Sample("a", (part,))], None))
        try:
            answers = [one async for one in self.stub.AppendSamples(iter([setup, batch]))]
        except grpc.aio.AioRpcError as error:  # nobody knows what became of a commit
            if failure(error).reason() != "UNREACHABLE":
                raise
            return False
        return bool(answers[-1].WhichOneof("response") == "result")

    async def read(self) -> int:
        """How many samples there are."""
        call = self.stub.ReadSamples(pb.ReadSamplesRequest(stream="streams/s"))
        return sum([len(answer.samples) async for answer in call])

    async def health(self) -> dict[str, str]:
        """What is said of the server and of each service."""
        stub: Any = health_pb2_grpc.HealthStub(self.channel)
        words = health_pb2.HealthCheckResponse.ServingStatus
        found = {}
        for short in ("", *SERVICES):
            request = health_pb2.HealthCheckRequest(service=SERVICES.get(short, ""))
            found[short] = words.Name((await stub.Check(request)).status)
        return found

    async def last_changed(self) -> None:
        """Return once health no longer says SERVING of the service that is changed last."""
        stub: Any = health_pb2_grpc.HealthStub(self.channel)
        words = health_pb2.HealthCheckResponse
        request = health_pb2.HealthCheckRequest(service=SERVICES["Model"])
        async with asyncio.timeout(WITHIN_S):
            async for answer in stub.Watch(request):
                if answer.status == words.NOT_SERVING:
                    return

    async def stopped(self) -> float:
        """What the metrics say."""
        code, body = await asked(self._page, get())
        assert code == 200
        return figures(body)["rankspace_store_stopped"]

    def reasons(self) -> list[str]:
        """Why the store has stopped, each time, as the log says."""
        lines = (json.loads(line) for line in self.server.log.read_text("utf-8").splitlines())
        return [line["why"] for line in lines if line["event"].startswith("the store has stopped")]


@pytest.fixture
async def watcher(tmp_path: Path) -> AsyncIterator[Watcher]:
    server = Server(tmp_path / "server", tmp_path / "data")
    found = Watcher(server, Disk(tmp_path / "data", tmp_path / "beside", 1))
    await found.start()
    await found.stub.CreateStream(pb.CreateStreamRequest(stream_id="s"))
    yield found
    await found.end()


async def test_a_server_whose_disk_failed_to_sync_says_so_until_it_is_restarted(
    watcher: Watcher,
) -> None:
    for part, why in ((SMALL, "the log of the database"), (LARGE, "large media")):
        before = await watcher.read()
        assert await watcher.appends(part)
        assert await watcher.health() == ALL_SERVE
        assert await watcher.stopped() == 0
        watcher.disk.set(failing=1000)
        assert not await watcher.appends(part)
        watcher.disk.set()
        await watcher.last_changed()
        assert await watcher.health() == STOPPED
        assert await watcher.stopped() == 1
        assert watcher.reasons()[-1].startswith(why)
        assert not await watcher.appends(SMALL)
        assert await watcher.read() >= before + 1, "what is there can be read"
        await watcher.end()
        await watcher.start()
    assert len(watcher.reasons()) == 2, "it is said once"
    assert await watcher.health() == ALL_SERVE

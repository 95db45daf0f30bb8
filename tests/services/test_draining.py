"""A server that stops: what waits ends at once, what is at work comes to its end, nothing hangs."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import grpc
import pytest

from rankspace.client import AsyncClient
from rankspace.media.sample import Part, Sample
from rankspace.store.config import StoreConfig
from rankspace.store.store import Store
from rankspace.training.job import JobConfig
from rankspace.v1 import generation_pb2 as gen
from rankspace.v1 import ingestion_pb2 as pb
from rankspace.v1 import training_pb2
from rankspace.v1.generation_pb2_grpc import GenerationServiceStub
from rankspace.v1.ingestion_pb2_grpc import IngestionServiceStub
from rankspace.v1.training_pb2_grpc import TrainingServiceStub
from services.draining import Draining
from services.gateway.config import GatewayConfig
from services.gateway.server import running
from tests.services.parrot import ParrotEngine
from tests.services.refusal import refusal

LOCAL = GatewayConfig(address="127.0.0.1:0", grace_s=60)
WITHIN_S = 10


class Site:
    """A server, a connection to it, and the order to stop."""

    def __init__(self, engine: ParrotEngine) -> None:
        self.engine = engine
        self._serving = running(LOCAL, engine)
        self._stopping: asyncio.Task[bool | None] | None = None

    async def open(self) -> None:
        self.port = await self._serving.__aenter__()
        self.channel = grpc.aio.insecure_channel(f"127.0.0.1:{self.port}")

    def stop(self) -> None:
        self._stopping = asyncio.create_task(self._serving.__aexit__(None, None, None))

    async def stopped(self) -> None:
        assert self._stopping is not None
        await self._stopping
        await self.channel.close()


@pytest.fixture
async def site(engine: ParrotEngine) -> AsyncIterator[Site]:
    async with asyncio.timeout(WITHIN_S):
        made = Site(engine)
        await made.open()
        yield made
        await made.stopped()


async def test_who_follows_or_watches_is_told_to_come_again(site: Site) -> None:
    async with AsyncClient(f"127.0.0.1:{site.port}") as client:
        await client.create_stream("s")
        await client.append("s", [Sample("a", (Part("text", b"a"),))])
        job = await client.create_job(JobConfig(streams=("s",)))
    stub: Any = IngestionServiceStub(site.channel)
    follow = stub.ReadSamples(pb.ReadSamplesRequest(stream="streams/s", follow=True))
    assert (await follow.read()).next_offset == 1
    jobs: Any = TrainingServiceStub(site.channel)
    watch = jobs.WatchJob(training_pb2.WatchJobRequest(name=f"jobs/{job.job_id}"))
    await asyncio.sleep(0.1)
    site.stop()
    for call in (follow, watch):
        code, reason, _, text = await refusal(call.read())
        assert (code, reason) == (grpc.StatusCode.UNAVAILABLE, "UNREACHABLE")
        assert "come again" in text


async def test_a_session_at_rest_ends_and_a_turn_that_is_being_said_is_answered(
    site: Site,
) -> None:
    stub: Any = GenerationServiceStub(site.channel)
    part, ask = gen.GenerateRequest(), gen.GenerateRequest()
    part.part.text.utf8 = b"x"
    ask.ask.target.modality = 1  # type: ignore[assignment]
    resting, saying = stub.Generate(), stub.Generate()
    for call in (resting, saying):
        await call.write(gen.GenerateRequest(setup=gen.GenerateSetup()))
        await call.read()
    await saying.write(part)
    while not site.engine.sessions[1].parts:  # noqa: ASYNC110 - the parrot sets no event
        await asyncio.sleep(0.01)
    site.stop()
    assert (await resting.read()).go_away.time_left_s > WITHIN_S
    assert (await refusal(resting.read()))[1] == "UNREACHABLE"
    assert (await saying.read()).HasField("go_away")
    await saying.write(ask)
    assert (await saying.read()).delta.data == b"x"
    assert (await saying.read()).delta.final
    assert (await refusal(saying.read()))[1] == "UNREACHABLE"


async def test_a_writer_is_told_to_go_and_still_answered(site: Site) -> None:
    stub: Any = IngestionServiceStub(site.channel)
    await stub.CreateStream(pb.CreateStreamRequest(stream_id="s"))
    call = stub.AppendSamples()
    await call.write(pb.AppendSamplesRequest(setup=pb.AppendSetup(stream="streams/s")))
    assert (await call.read()).HasField("setup_ack")
    site.stop()
    assert (await call.read()).HasField("go_away")
    await call.write(pb.AppendSamplesRequest())
    assert (await call.read()).error.field == "request"
    await call.done_writing()
    assert await call.read() is grpc.aio.EOF


async def test_the_client_s_writer_goes_when_told_and_loses_nothing(tmp_path: Path) -> None:
    """One whose samples come slowly: it waits for the next of them when the server stops."""
    more = asyncio.Event()

    async def samples() -> AsyncIterator[Sample]:
        yield Sample("a", (Part("text", b"a"),))
        await more.wait()
        yield Sample("b", (Part("text", b"b"),))

    with Store.open(StoreConfig(folder=tmp_path / "own")) as store:
        first = Site(ParrotEngine(store))
        await first.open()
        address = f"127.0.0.1:{first.port}"
        async with AsyncClient(address, patience_s=10.0) as client, asyncio.timeout(WITHIN_S):
            await client.create_stream("s")
            answered = asyncio.Event()
            writing = asyncio.create_task(
                client.append("s", samples(), progress=lambda _: answered.set())
            )
            await answered.wait()
            first.stop()
            await first.stopped()
            more.set()
            again = LOCAL.model_copy(update={"address": address, "grace_s": 0})
            async with running(again, ParrotEngine(store)):
                summary = await writing
        assert (summary.samples, summary.next_offset, summary.reconnects > 0) == (2, 2, True)


async def test_items_pass_and_the_drain_is_told_once() -> None:
    draining = Draining(grace_s=1)

    async def items() -> AsyncIterator[int]:
        yield 1
        draining.begin()
        await asyncio.sleep(0.01)
        yield 2

    found = [item async for item in draining.over(items())]
    assert [item for item in found if isinstance(item, int)] == [1, 2]
    assert [type(item).__name__ for item in found] == ["int", "GoAway", "int"]

"""Clients without manners: the server goes on serving the others, and its memory stays bounded."""

import asyncio
import json
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import grpc
import h2.errors
import h2.events
import pytest

from rankspace.client import AsyncClient
from rankspace.media.sample import Part, Sample
from rankspace.v1 import generation_pb2 as gen
from rankspace.v1 import ingestion_pb2 as pb
from rankspace.v1.generation_pb2_grpc import GenerationServiceStub
from rankspace.v1.ingestion_pb2_grpc import IngestionServiceStub
from services.gateway.config import GatewayConfig
from services.gateway.server import running
from tests.services.gateway.rude import FRAME, GENERATE, LIST, Rude, Served, served
from tests.services.holders import dial
from tests.services.parrot import ParrotEngine
from tests.services.refusal import refusal

MEMORY_MB_MAX = 60
"""How much a server may grow while it is attacked, however long."""

SETTINGS = {
    "connections_max": 40, "handshake_s_max": 1.0, "unary_s_max": 1.0, "idle_s_max": 1.0,
    "ping_s_min": 10.0,
}  # fmt: skip
AGING = SETTINGS | {"connection_age_s_max": 2.0, "connection_leave_s_max": 1.0}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with served(tmp_path_factory.mktemp("server"), json.dumps(SETTINGS)) as found:
        yield found


@pytest.fixture(scope="module")
def aging(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with served(tmp_path_factory.mktemp("aging"), json.dumps(AGING)) as found:
        yield found


async def answered_s(port: int, times: int = 10) -> float:
    """The longest that a client with manners waits for an answer, on a new connection each."""
    longest = 0.0
    for _ in range(times):
        began = time.monotonic()
        async with AsyncClient(f"127.0.0.1:{port}") as client:
            assert {stream.name async for stream in client.list_streams()} <= {"s", "large"}
        longest = max(longest, time.monotonic() - began)
        await asyncio.sleep(0.05)
    return longest


def reset_rapidly(port: int, ended: threading.Event, count: list[int]) -> None:
    """Begin calls and take them back at once, on one connection after the other."""
    while not ended.is_set():
        rude = Rude(port)
        try:
            for _ in range(200):
                for _ in range(50):
                    rude.protocol.reset_stream(rude.call(LIST), h2.errors.ErrorCodes.CANCEL)
                rude.flush()
                count[0] += 50
                if ended.is_set():
                    break
        except ConnectionError:
            pass  # sent away; it comes again
        finally:
            rude.close()


async def test_rapid_resets_hold_up_nobody_and_fill_no_memory(server: Served) -> None:
    await answered_s(server.port, 2)
    before_mb, ended, count = server.memory_mb(), threading.Event(), [0]
    attack = asyncio.create_task(asyncio.to_thread(reset_rapidly, server.port, ended, count))
    try:
        longest_s = await answered_s(server.port)
    finally:
        ended.set()
        await attack
    assert count[0] > 1000
    assert longest_s < 5
    assert server.memory_mb() - before_mb < MEMORY_MB_MAX


async def test_who_says_half_a_sentence_is_sent_away_and_holds_up_nobody(aging: Served) -> None:
    with ExitStack() as stack:
        rudes = []
        for kind in range(30):
            rude = Rude(aging.port, begin=kind % 3 != 0)
            stack.callback(rude.close)
            rudes.append(rude)
            if kind % 3 == 0:
                rude.socket.sendall(b"PRI * HT")  # the first bytes of a preface
            elif kind % 3 == 1:
                rude.call(LIST)
                headers = bytearray(rude.protocol.data_to_send())
                headers[4] &= ~0x04  # END_HEADERS: more is to come
                rude.socket.sendall(bytes(headers))
            else:
                rude.call(LIST)  # a call whose message never comes
                rude.flush()
        assert await answered_s(aging.port) < 2
        gone = await asyncio.gather(*(asyncio.to_thread(rude.hung_up, 10.0) for rude in rudes))
        assert all(gone)
    assert aging.alive()


async def test_a_call_whose_message_never_comes_is_ended(server: Served) -> None:
    rude = Rude(server.port)
    waiting, silent = rude.call(LIST), rude.call(GENERATE)
    rude.flush()
    began = time.monotonic()

    def ended() -> set[int]:
        found: set[int] = set()
        for event in rude.events(within_s=3.0):
            if isinstance(event, h2.events.StreamReset | h2.events.StreamEnded):
                found.add(event.stream_id)
            if len(found) == 2:
                return found
        return found

    assert await asyncio.to_thread(ended) == {waiting, silent}
    assert 0.5 < time.monotonic() - began < 3
    rude.close()


async def test_one_connection_too_many_is_closed_and_the_others_stay(server: Served) -> None:
    most = int(SETTINGS["connections_max"])
    rudes = [Rude(server.port) for _ in range(2 * most)]
    try:
        gone = await asyncio.gather(
            *(asyncio.to_thread(rude.hung_up, 0.5) for rude in rudes[most + 5 :])
        )
        assert sum(gone) == len(gone)
    finally:
        for rude in rudes:
            rude.close()
    await asyncio.sleep(0.2)
    assert await answered_s(server.port, 2) < 2


async def test_who_pings_without_end_is_sent_away(server: Served) -> None:
    rude = Rude(server.port)
    try:
        for number in range(20):
            rude.protocol.ping(number.to_bytes(8, "big"))
        rude.flush()
        told = [
            event
            for event in await asyncio.to_thread(list, rude.events(2.0))
            if isinstance(event, h2.events.ConnectionTerminated)
        ]
    finally:
        rude.close()
    assert told
    assert told[-1].error_code == h2.errors.ErrorCodes.ENHANCE_YOUR_CALM


async def test_metadata_beyond_the_bound_are_refused_and_not_kept(server: Served) -> None:
    before_mb = server.memory_mb()
    async with dial(server.port) as channel:
        stub: Any = IngestionServiceStub(channel)
        for _ in range(5):
            metadata = tuple((f"x-{number}", "v" * 8000) for number in range(20))
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await stub.ListStreams(pb.ListStreamsRequest(), metadata=metadata, timeout=5)
            assert caught.value.code() == grpc.StatusCode.RESOURCE_EXHAUSTED
        assert await stub.ListStreams(pb.ListStreamsRequest()) is not None
    assert server.memory_mb() - before_mb < MEMORY_MB_MAX


async def test_an_old_connection_is_told_to_go_and_a_writer_goes_on_with_another(
    aging: Served,
) -> None:
    rude = Rude(aging.port)

    def goodbye() -> bool:
        return any(
            isinstance(event, h2.events.ConnectionTerminated) for event in rude.events(within_s=6.0)
        )

    async def samples() -> Any:
        for number in range(9):
            yield Sample(str(number), (Part("text", b"x"),))
            await asyncio.sleep(0.5)

    async with AsyncClient(f"127.0.0.1:{aging.port}") as client:
        await client.create_stream("s")
        told = asyncio.create_task(asyncio.to_thread(goodbye))
        summary = await client.append("s", samples())
        assert (summary.samples, summary.next_offset, summary.duplicates) == (9, 9, 0)
        assert summary.reconnects >= 1
        assert await told
    rude.close()


def patient(idle_s: float) -> GatewayConfig:
    return GatewayConfig(address="127.0.0.1:0", idle_s_max=idle_s, unary_s_max=idle_s, grace_s=0)


async def test_a_session_that_says_nothing_ends_and_one_that_waits_for_news_does_not(
    engine: ParrotEngine,
) -> None:
    engine.store.log.create("s")
    async with running(patient(0.5), engine) as port, dial(port) as channel:
        sessions: Any = GenerationServiceStub(channel)
        streams: Any = IngestionServiceStub(channel)
        follow = streams.ReadSamples(pb.ReadSamplesRequest(stream="streams/s", follow=True))
        session = sessions.Generate()
        await session.write(gen.GenerateRequest(setup=gen.GenerateSetup()))
        await session.read()
        code, reason, _, said = await refusal(session.read())
        assert (code, reason) == (grpc.StatusCode.DEADLINE_EXCEEDED, "TIMED_OUT")
        assert said == "nothing came or went for 0.5 s; call again"
        await engine.sessions[0].closed.wait()
        async with AsyncClient(f"127.0.0.1:{port}") as client:
            await client.append("s", [Sample("late", (Part("text", b"x"),))])
        assert (await follow.read()).samples[0].sample.sample_id == "late"
        follow.cancel()


async def test_who_does_not_take_what_is_sent_is_ended_with_the_connection(
    aging: Served,
) -> None:
    sample = Sample("s", (Part("text", b"x" * 500_000),))
    async with AsyncClient(f"127.0.0.1:{aging.port}") as client:
        await client.create_stream("large")
        await client.append("large", [sample] * 4)
    before_mb = aging.memory_mb()
    with ExitStack() as stack:
        rudes = [Rude(aging.port) for _ in range(10)]
        for rude in rudes:
            stack.callback(rude.close)
            stream = rude.call("/rankspace.v1.IngestionService/ReadSamples")
            request = pb.ReadSamplesRequest(stream="streams/large").SerializeToString()
            framed = FRAME[:1] + len(request).to_bytes(4, "big") + request
            rude.protocol.send_data(stream, framed, end_stream=True)
            rude.flush()  # and nothing is given back of the window of 64 KiB
        await asyncio.sleep(0.5)
        assert aging.memory_mb() - before_mb < MEMORY_MB_MAX
        gone = await asyncio.gather(*(asyncio.to_thread(rude.hung_up, 8.0) for rude in rudes))
        assert all(gone)

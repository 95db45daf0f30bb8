"""Quotas: nothing passes faster than its rate for long, and who is told to wait may wait and go."""

import asyncio
import time
from collections.abc import AsyncIterator
from typing import Any

import grpc
import pytest
from google.rpc.error_details_pb2 import ErrorInfo, QuotaFailure, RetryInfo
from grpc_status import rpc_status
from hypothesis import given
from hypothesis import strategies as st

from rankspace.client import AsyncClient
from rankspace.errors import QuotaExceeded
from rankspace.media.sample import Part, Sample
from rankspace.store.access import Holding
from rankspace.v1 import generation_pb2 as gen
from rankspace.v1.generation_pb2_grpc import GenerationServiceStub
from services.auth import Caller, asks
from services.gateway.config import GatewayConfig
from services.gateway.server import running
from services.quotas import BELIEVED_S, Bucket, Quotas, QuotasConfig, StreamQuota, TenantQuota
from tests.services.holders import bearing, dial, issue
from tests.services.parrot import ParrotEngine

steps = st.lists(st.tuples(st.floats(0, 3), st.floats(0, 500)), min_size=1, max_size=40)


@given(rate=st.floats(1, 100), steps=steps)
def test_nothing_passes_faster_than_its_rate_in_the_long_run(
    rate: float, steps: list[tuple[float, float]]
) -> None:
    bucket, now, passed, largest = Bucket(rate), 0.0, 0.0, 0.0
    for pause, amount in steps:
        now += pause
        if not bucket.wait_s(now):
            bucket.take(amount)
            passed += amount
            largest = max(largest, amount)
    assert passed <= rate * (now + 1) + largest + 1e-6


@given(rate=st.floats(0.5, 100), amount=st.floats(0, 1000))
def test_who_waits_as_told_may_go(rate: float, amount: float) -> None:
    bucket = Bucket(rate)
    assert not bucket.wait_s(0.0)
    bucket.take(amount)
    assert not bucket.wait_s(bucket.wait_s(0.0))


class Shelf:
    """Holds as much as it is told to."""

    def __init__(self) -> None:
        self.bytes = 0
        self.open_streams = 0
        self.asked = 0

    async def holding(self, _tenant: str, _stream: str) -> Holding:
        self.asked += 1
        return Holding(self.bytes, self.open_streams)


async def spend(quotas: Quotas, tenant: str, stream: str, samples: int, size: int) -> None:
    with asks(Caller("c", tenant=tenant)):
        await quotas.spend(stream, samples, lambda: size)


async def test_a_tenant_has_its_own_quota_else_that_of_all_and_streams_have_theirs() -> None:
    config = QuotasConfig(
        tenants=(
            TenantQuota(bytes_per_s_max=10.0),
            TenantQuota(tenant="big", bytes_per_s_max=1000.0),
        ),
        stream=StreamQuota(samples_per_s_max=5.0),
    )
    quotas = Quotas(config, Shelf(), clock=lambda: 0.0)
    await spend(quotas, "small", "a", 1, 100)
    with pytest.raises(QuotaExceeded, match="tenant:small may append 10 bytes a second") as caught:
        await spend(quotas, "small", "b", 1, 1)
    assert caught.value.field == "tenant:small"
    assert caught.value.retry_after_s == pytest.approx(9.0, abs=0.01)
    await spend(quotas, "other", "b", 1, 1)
    await spend(quotas, "big", "a", 6, 100)
    with pytest.raises(QuotaExceeded, match="stream:a may append 5 samples a second"):
        await spend(quotas, "big", "a", 1, 1)
    await spend(quotas, "big", "b", 1, 1)


async def test_what_is_refused_by_one_quota_costs_nothing_of_another() -> None:
    config = QuotasConfig(
        tenants=(TenantQuota(bytes_per_s_max=10.0),), stream=StreamQuota(samples_per_s_max=1.0)
    )
    quotas = Quotas(config, Shelf(), clock=lambda: 0.0)
    await spend(quotas, "t", "a", 5, 1)
    for _ in range(50):
        with pytest.raises(QuotaExceeded, match="stream:a"):
            await spend(quotas, "t", "a", 1, 1)
    await spend(quotas, "t", "b", 1, 1)


async def test_what_is_stored_is_asked_once_a_second_and_what_was_let_through_is_added() -> None:
    now, shelf = [0.0], Shelf()
    config = QuotasConfig(tenants=(TenantQuota(stored_bytes_max=100),))
    quotas = Quotas(config, shelf, clock=lambda: now[0])
    for _ in range(10):
        await spend(quotas, "t", "a", 1, 10)
    assert shelf.asked == 1
    with pytest.raises(QuotaExceeded, match="may keep 100 bytes; delete something"):
        await spend(quotas, "t", "a", 1, 1)
    now[0], shelf.bytes = BELIEVED_S, 40
    await spend(quotas, "t", "a", 1, 60)


async def test_without_a_quota_nothing_is_measured() -> None:
    shelf = Shelf()

    def size() -> int:
        pytest.fail("measured for nothing")

    await Quotas(QuotasConfig(), shelf).spend("s", 1, size)
    assert not shelf.asked


def door(*tenants: TenantQuota, **stream: Any) -> GatewayConfig:
    quotas = QuotasConfig(tenants=tenants, stream=StreamQuota(**stream))
    return GatewayConfig(address="127.0.0.1:0", quotas=quotas, grace_s=0)


async def test_a_writer_that_is_too_fast_waits_as_told_and_loses_nothing(
    engine: ParrotEngine,
) -> None:
    async def samples() -> AsyncIterator[Sample]:
        for number in range(9):
            yield Sample(str(number), (Part("text", b"x" * 400_000),))

    async with (
        running(door(bytes_per_s_max=2e6), engine) as port,
        AsyncClient(f"127.0.0.1:{port}") as client,
    ):
        await client.create_stream("s")
        began = time.monotonic()
        summary = await client.append("s", samples())
        took_s = time.monotonic() - began
        assert (summary.samples, summary.next_offset, summary.rejected) == (9, 9, 0)
    # 2 MB are in the bucket, 0.4 to 1.2 MB of the last batch go on credit.
    assert 0.2 < took_s < 20


async def test_open_streams_and_calls_are_bounded_by_tenant(engine: ParrotEngine) -> None:
    quota = TenantQuota(tenant="acme", open_streams_max=1, open_calls_max=2)
    token, other = issue(engine.store, "ann", tenant="acme"), issue(engine.store, "bob")
    async with running(door(quota), engine) as port, dial(port) as channel:
        address = f"127.0.0.1:{port}"
        async with (
            AsyncClient(address, token=token) as ann,
            AsyncClient(address, token=other) as bob,
        ):
            await ann.create_stream("a")
            with pytest.raises(QuotaExceeded, match="1 open streams; finalize or delete one"):
                await ann.create_stream("b")
            await ann.finalize_stream("a")
            raced = [ann.create_stream(name) for name in ("b", "c")]
            made = await asyncio.gather(*raced, return_exceptions=True)
            assert sorted(type(one).__name__ for one in made) == ["QuotaExceeded", "Stream"]
            stub: Any = GenerationServiceStub(channel)
            sessions = [stub.Generate(metadata=bearing(token)) for _ in range(2)]
            for session in sessions:
                await session.write(gen.GenerateRequest(setup=gen.GenerateSetup()))
                await session.read()
            with pytest.raises(QuotaExceeded, match="tenant:acme may have 2 calls open"):
                await ann.get_stream("a")
            for name in ("a", "b"):
                await bob.create_stream(name)


async def test_the_status_says_whose_quota_it_is_and_when_to_come_again(
    engine: ParrotEngine,
) -> None:
    quota = TenantQuota(tenant="", open_streams_max=1)
    async with running(door(quota), engine) as port, dial(port) as channel:
        from rankspace.v1 import ingestion_pb2 as pb
        from rankspace.v1.ingestion_pb2_grpc import IngestionServiceStub

        stub: Any = IngestionServiceStub(channel)
        await stub.CreateStream(pb.CreateStreamRequest(stream_id="a"))
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await stub.CreateStream(pb.CreateStreamRequest(stream_id="b"))
    status = rpc_status.from_call(caught.value)  # type: ignore[arg-type]
    assert status is not None
    assert caught.value.code() == grpc.StatusCode.RESOURCE_EXHAUSTED
    info, quota_failure, retry = ErrorInfo(), QuotaFailure(), RetryInfo()
    for packed, detail in zip(status.details, (info, quota_failure, retry), strict=True):
        assert packed.Unpack(detail)
    assert info.reason == "QUOTA_EXCEEDED"
    assert quota_failure.violations[0].subject == "tenant:"
    assert retry.retry_delay.seconds == 60

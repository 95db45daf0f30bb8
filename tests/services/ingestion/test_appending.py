"""What one call has sent goes to the engine together, in order, and is answered in order."""

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import grpc
import pytest

from rankspace.errors import Overloaded
from rankspace.media.sample import Part, Sample
from rankspace.store.config import StoreConfig
from rankspace.store.drafts import Laid
from rankspace.store.entries import Appended, Durability, Refusal, Rejected
from rankspace.store.store import Store
from rankspace.v1 import ingestion_pb2 as pb
from rankspace.v1.ingestion_pb2_grpc import IngestionServiceStub
from rankspace.wire.ingestion import write_batch
from services.gateway.config import GatewayConfig
from services.gateway.server import running
from tests.services.parrot import ParrotEngine

BATCHES = 5


class Gathering(ParrotEngine):
    """Stores nothing before so many batches have come."""

    def __init__(self, store: Store) -> None:
        super().__init__(store)
        self.came: list[int | None] = []
        self._all = asyncio.Event()

    async def append(
        self,
        stream: str,
        offset: int | None,
        samples: Sequence[Sample | Rejected] | Laid,
        epoch: int,
        durability: Durability = "synced",
    ) -> Appended:
        self.came.append(offset)
        if len(self.came) == BATCHES:
            self._all.set()
            await asyncio.sleep(0)  # those before it go first
        await self._all.wait()
        return await super().append(stream, offset, samples, epoch, durability)


async def test_batches_of_a_call_wait_for_the_disk_together_and_are_answered_in_order(
    tmp_path: Path,
) -> None:
    batches = [write_batch([Sample(str(at), (Part("text", b"a"),))], at) for at in range(BATCHES)]
    setup = pb.AppendSamplesRequest(setup=pb.AppendSetup(stream="streams/a"))
    requests = [setup, *(pb.AppendSamplesRequest(batch=batch) for batch in batches)]
    with Store.open(StoreConfig(folder=tmp_path)) as store:
        engine = Gathering(store)
        async with (
            asyncio.timeout(30),
            running(GatewayConfig(address="127.0.0.1:0", grace_s=0), engine) as port,
            grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel,
        ):
            stub: Any = IngestionServiceStub(channel)
            await stub.CreateStream(pb.CreateStreamRequest(stream_id="a"))
            answers = [answer async for answer in stub.AppendSamples(iter(requests))][1:]
    assert engine.came == list(range(BATCHES))
    assert [answer.batch for answer in answers] == list(range(BATCHES))
    assert [answer.result.offset for answer in answers] == list(range(BATCHES))


class Forgetting(ParrotEngine):
    """Cannot keep what was refused, the first time."""

    def __init__(self, store: Store) -> None:
        super().__init__(store)
        self.full = True

    async def keep_rejects(self, stream: str, refused: Sequence[Refusal]) -> None:
        full, self.full = self.full, False
        if full:
            raise Overloaded("the disk of the store is full", retry_after_s=1.0)
        await super().keep_rejects(stream, refused)


async def test_a_batch_that_is_stored_is_never_told_as_refused(tmp_path: Path) -> None:
    batch = write_batch([Sample("no text", (Part("text", b"\xff"),))], 0)
    setup = pb.AppendSamplesRequest(setup=pb.AppendSetup(stream="streams/a"))
    requests = [setup, pb.AppendSamplesRequest(batch=batch)]
    with Store.open(StoreConfig(folder=tmp_path)) as store:
        async with (
            asyncio.timeout(30),
            running(GatewayConfig(address="127.0.0.1:0", grace_s=0), Forgetting(store)) as port,
            grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel,
        ):
            stub: Any = IngestionServiceStub(channel)
            await stub.CreateStream(
                pb.CreateStreamRequest(stream_id="a", labels={"rejects": "keep"})
            )
            with pytest.raises(grpc.aio.AioRpcError) as ended:
                [answer async for answer in stub.AppendSamples(iter(requests))]
            assert ended.value.code() is grpc.StatusCode.UNAVAILABLE
            _, again = [answer async for answer in stub.AppendSamples(iter(requests))]
        assert again.result.duplicate
        assert [one.offset for one in store.rejects.list("a").items] == [0]

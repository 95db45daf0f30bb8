"""What one call has sent goes to the engine together, in order, and is answered in order."""

import asyncio
import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import grpc
import pytest

from rankspace.errors import Overloaded
from rankspace.media.encode import mp3
from rankspace.media.sample import Part, Sample
from rankspace.store.config import StoreConfig
from rankspace.store.drafts import Laid
from rankspace.store.entries import Appended, Durability, Refusal, Rejected
from rankspace.store.growing import Begin, Head
from rankspace.store.store import Store
from rankspace.v1 import ingestion_pb2 as pb
from rankspace.v1.ingestion_pb2_grpc import IngestionServiceStub
from rankspace.wire.growing import write_step
from rankspace.wire.ingestion import read_stored, write_batch
from services.gateway.config import GatewayConfig
from services.gateway.server import running
from tests.services.parrot import ParrotEngine
from tests.worlds import tone

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


PARTS = {
    "judged at once": Part("text", b"a"),
    "looked at whole": Part("audio", mp3(tone(400))),
    "refused": Part("image", b"no picture"),
}


def message(kind: str, at: int) -> pb.AppendSamplesRequest:
    """The message of this number; a batch goes to the end of the stream."""
    match kind:
        case "setup":
            return pb.AppendSamplesRequest(setup=pb.AppendSetup(stream="streams/a"))
        case "piece":
            step = Begin(f"media-{at}", Head("audio", "pcm_s16le", "", 8_000, 1))
            return pb.AppendSamplesRequest(piece=write_step(step))
        case "no samples":
            return pb.AppendSamplesRequest(batch=pb.SampleBatch())
    return pb.AppendSamplesRequest(batch=write_batch([Sample(str(at), (PARTS[kind],))], None))


@pytest.mark.parametrize("seed", range(3))
async def test_no_message_overtakes_another_however_long_each_is_judged(
    channel: grpc.aio.Channel, seed: int
) -> None:
    kinds = random.Random(seed).choices([*PARTS, "setup", "piece", "piece", "no samples"], k=60)
    stub: Any = IngestionServiceStub(channel)
    await stub.CreateStream(pb.CreateStreamRequest(stream_id="a"))
    requests = [message("setup", 0), *(message(kind, at) for at, kind in enumerate(kinds))]
    answers = [answer async for answer in stub.AppendSamples(iter(requests))][1:]
    stored = 0
    for at, (kind, answer) in enumerate(zip(kinds, answers, strict=True)):
        assert answer.batch == at
        if kind in PARTS:
            assert answer.result.offset == stored
            assert len(answer.result.sample_errors) == (kind == "refused")
            stored += 1
        elif kind == "piece":
            assert answer.piece.media_id == f"media-{at}"
        else:
            assert answer.next_offset >= stored  # those behind it may be stored already
    reading = stub.ReadSamples(pb.ReadSamplesRequest(stream="streams/a"))
    found = [read_stored(one)[1].sample_id async for page in reading for one in page.samples]
    assert found == [
        str(at) for at, kind in enumerate(kinds) if kind in PARTS and kind != "refused"
    ]

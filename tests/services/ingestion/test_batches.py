"""Plain batches, read in one go, become what they become when they are read one by one."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import grpc
import pytest

from rankspace.media import encode
from rankspace.media.limits import Limits
from rankspace.media.sample import Part, Sample
from rankspace.store.config import StoreConfig
from rankspace.store.store import Store
from rankspace.v1 import ingestion_pb2 as pb
from rankspace.v1.ingestion_pb2_grpc import IngestionServiceStub
from rankspace.wire.ingestion import write_batch
from rankspace.wire.intake import Intake
from services.gateway.config import GatewayConfig
from services.gateway.server import running
from services.ingestion.admission import HASHED_AT_ONCE
from services.ingestion.config import IngestionConfig
from tests.media.strip.planted import FILES
from tests.services.parrot import ParrotEngine
from tests.worlds import picture, tone

PNG = encode.png(picture(1))
OGG = encode.ogg(tone(800))
LARGE = encode.wav(tone(16_000))
LONG = Part("audio", bytes(HASHED_AT_ONCE + 2), "pcm_s16le", "", 16_000, 1)
TORN = PNG[:40]
"""It begins like a picture."""

PLAIN: list[list[Sample]] = [
    [Sample(f"t-{at}", (Part("text", b"word %d" % at),), 5) for at in range(20)],
    [Sample("p", (Part("image", PNG, role="face"),)), Sample("w", (Part("audio", LARGE),))],
    [
        Sample("o", (Part("audio", encode.ogg(tone(800)), "ogg"),)),
        Sample("t", (Part("text", b"t"),)),
    ],
    [Sample("r", (Part("audio", b"\0\0" * 800, "pcm_s16le", "", 16_000, 1),))],
]
OTHER: list[list[Sample]] = [
    [Sample("labelled", (Part("text", b"t"),), 0, {"a": "b"})],
    [Sample("two", (Part("text", b"t"), Part("image", PNG)))],
    [Sample("good", (Part("text", b"t"),)), Sample("torn", (Part("image", TORN),))],
    [Sample("bad text", (Part("text", b"\xff"),)), Sample("good", (Part("image", PNG),))],
    [Sample("planted", (next(iter(FILES.values()))(),))],
    [Sample("long", (LONG,), 0, {"a": "b"})],
]


def requests() -> list[pb.AppendSamplesRequest]:
    """All of them at their places, sent twice, and some that are refused as a whole."""
    found, at = [], 0
    for samples in PLAIN + OTHER:
        found.append(pb.AppendSamplesRequest(batch=write_batch(samples, at)))
        at += len(samples)
    twice = [found[0], found[1], pb.AppendSamplesRequest(batch=write_batch(PLAIN[0], None))]
    checked = [PLAIN[0], PLAIN[0], PLAIN[0], OTHER[-1]]
    wrong = [pb.AppendSamplesRequest(batch=write_batch(samples, 0)) for samples in checked]
    wrong[0].batch.content_hash = b"x" * 32
    wrong[1].batch.content_blake3 = b"x" * 32
    wrong[2].batch.content_blake3 = b"x" * 33
    wrong[3].batch.content_blake3 = b"x" * 32
    conflict = pb.AppendSamplesRequest(batch=write_batch(PLAIN[1], 0))
    gap = pb.AppendSamplesRequest(batch=write_batch(PLAIN[0], 10_000))
    below = pb.AppendSamplesRequest(batch=write_batch(PLAIN[0], None))
    below.batch.offset = -1
    empty = pb.AppendSamplesRequest(batch=pb.SampleBatch(offset=0))
    return [*found, *twice, *wrong, conflict, gap, below, empty]


async def appended(
    folder: Path, native: bool, labels: dict[str, str], strip: bool
) -> tuple[list[bytes], list[Any], str, list[Any]]:
    """The answers, the stream, its digest, and what was refused and kept."""
    config = GatewayConfig(
        address="127.0.0.1:0", grace_s=0, ingestion=IngestionConfig(native=native)
    )
    setup = pb.AppendSamplesRequest(setup=pb.AppendSetup(stream="streams/a"))
    with Store.open(StoreConfig(folder=folder, inline_bytes_max=1000)) as store:
        async with (
            running(config, ParrotEngine(store)) as port,
            grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel,
        ):
            stub: Any = IngestionServiceStub(channel)
            made = pb.CreateStreamRequest(stream_id="a", labels=labels, strip_metadata=strip)
            await stub.CreateStream(made)
            call = stub.AppendSamples(iter([setup, *requests()]))
            answers = [answer.SerializeToString(deterministic=True) async for answer in call]
        kept = [(one.offset, one.sample_id, one.reason) for one in store.rejects.list("a").items]
        return answers, list(store.log.read("a")), store.log.get("a").digest, kept


@pytest.mark.parametrize("labels", [{}, {"rejects": "keep"}])
@pytest.mark.parametrize("strip", [False, True])
async def test_both_ways_answer_alike_and_store_the_same(
    tmp_path: Path, labels: dict[str, str], strip: bool
) -> None:
    one = await appended(tmp_path / "native", True, labels, strip)
    other = await appended(tmp_path / "plain", False, labels, strip)
    assert one == other
    assert len(one[0]) == len(requests()) + 1
    told = [pb.AppendSamplesResponse.FromString(answer).error for answer in one[0][-8:-4]]
    assert {error.reason for error in told} == {"INVALID_INPUT"}
    fields = ["batch.content_hash", *["batch.content_blake3"] * 3]
    assert [error.field for error in told] == fields


def test_batches_that_are_plain_are_read_in_one_go() -> None:
    intake = Intake.load(Limits(), 1024, 1000)
    if intake is None:
        pytest.skip("there is no C++ compiler here; install g++ or clang")

    def taken(batches: Sequence[Sequence[Sample]]) -> list[bool]:
        messages = [pb.AppendSamplesRequest(batch=write_batch(batch, 0)) for batch in batches]
        return [intake.read(message.SerializeToString()) is not None for message in messages]

    assert taken(PLAIN) == [True] * len(PLAIN)
    assert taken(OTHER[:2]) == [False, False]

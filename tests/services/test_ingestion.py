"""Streams through the socket: exactly once, in order, and no sample stands in another's way."""

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import grpc
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rankspace.errors import Overloaded
from rankspace.media.sample import Part, Sample
from rankspace.store import content
from rankspace.store.config import StoreConfig
from rankspace.store.entries import Stream
from rankspace.store.store import Store
from rankspace.v1 import ingestion_pb2 as pb
from rankspace.v1 import media_pb2
from rankspace.v1.ingestion_pb2_grpc import IngestionServiceStub
from rankspace.wire.ingestion import read_stored, write_batch
from services.gateway.config import GatewayConfig
from services.gateway.server import running
from tests.services.parrot import ParrotEngine
from tests.services.refusal import refusal

NAME = "streams/digits"
GOOD = Sample("good", (Part("text", "добрый".encode()),))
BAD = Sample("bad", (Part("image", b"not a picture"),))


def text(word: str) -> Sample:
    return Sample(word, (Part("text", word.encode()),))


@pytest.fixture
async def stub(channel: grpc.aio.Channel) -> Any:
    made: Any = IngestionServiceStub(channel)
    await made.CreateStream(pb.CreateStreamRequest(stream_id="digits", labels={"a": "b"}))
    return made


async def append(
    stub: Any, *requests: pb.AppendSamplesRequest, **setup: Any
) -> list[pb.AppendSamplesResponse]:
    """One call: the setup, then these requests; all the answers."""
    opening = pb.AppendSamplesRequest(setup=pb.AppendSetup(stream=NAME, **setup))
    return [answer async for answer in stub.AppendSamples(iter([opening, *requests]))]


def batch(samples: Sequence[Sample], offset: int | None = None) -> pb.AppendSamplesRequest:
    return pb.AppendSamplesRequest(batch=write_batch(samples, offset))


async def read(stub: Any, **request: Any) -> list[Any]:
    """Offsets and what is there."""
    call = stub.ReadSamples(pb.ReadSamplesRequest(stream=NAME, **request))
    return [read_stored(stored) async for answer in call for stored in answer.samples]


async def test_what_is_appended_is_read_back_in_order(stub: Any) -> None:
    ack, first, second = await append(stub, batch([GOOD, text("a")], 0), batch([text("b")], 2))
    assert ack.setup_ack.next_offset == 0
    assert ack.setup_ack.credits.batches > 0 < ack.setup_ack.credits.bytes
    assert ack.setup_ack.durability == pb.DURABILITY_SYNCED
    assert (first.batch, first.result.offset, first.next_offset) == (0, 0, 2)
    assert (second.batch, second.result.offset, second.result.durable_offset) == (1, 2, 3)
    assert {answer.result.durability for answer in (first, second)} == {pb.DURABILITY_SYNCED}
    assert not first.result.at_least_once
    _, at_the_end = await append(stub, batch([text("c")]))
    assert (at_the_end.result.offset, at_the_end.result.at_least_once) == (3, True)
    assert await read(stub, limit=3) == [(0, GOOD), (1, text("a")), (2, text("b"))]
    assert await read(stub, offset=1, limit=1) == [(1, text("a"))]


async def test_an_answer_says_how_durable_a_batch_is(stub: Any) -> None:
    ack, answer = await append(stub, batch([GOOD], 0), durability=pb.DURABILITY_WRITTEN)
    assert ack.setup_ack.durability == pb.DURABILITY_WRITTEN
    assert answer.result.durability == pb.DURABILITY_WRITTEN


async def test_a_bad_sample_keeps_its_offset_and_harms_no_other(stub: Any) -> None:
    ack, answer, after = await append(stub, batch([GOOD, BAD, text("a")], 0), batch([text("b")], 3))
    (error,) = answer.result.sample_errors
    assert (error.index, error.offset, error.sample_id) == (1, 1, "bad")
    assert error.problem.code == grpc.StatusCode.INVALID_ARGUMENT.value[0]
    assert (error.problem.reason, error.problem.field) == ("MALFORMED_MEDIA", "parts[0].data")
    assert after.result.offset == 3
    assert [offset for offset, _ in await read(stub)] == [0, 2, 3]
    rejected = dict(await read(stub, filter=pb.ReadFilter(rejected=True)))[1]
    assert (rejected.sample_id, rejected.reason) == ("bad", "MALFORMED_MEDIA")
    stream = (await stub.GetStream(pb.GetStreamRequest(name=NAME))).stream
    assert (stream.next_offset, stream.rejected_samples) == (4, 1)
    assert ack.next_offset == 0


async def test_a_sample_that_cannot_be_read_off_the_wire_is_refused_alone(stub: Any) -> None:
    request = batch([GOOD, GOOD], 0)
    request.batch.samples[0].ClearField("parts")
    request.batch.samples[1].parts[0].Clear()
    request.batch.content_blake3 = b""
    _, answer = await append(stub, request)
    assert [
        (error.problem.reason, error.problem.field) for error in answer.result.sample_errors
    ] == [
        ("MALFORMED_MEDIA", "parts"),
        ("INVALID_INPUT", "parts[0]"),
    ]


async def test_a_batch_sent_again_is_acknowledged_again_with_its_errors(stub: Any) -> None:
    _, first = await append(stub, batch([GOOD, BAD], 0))
    _, again, longer = await append(stub, batch([GOOD, BAD], 0), batch([BAD, GOOD], 1))
    assert again.result.duplicate
    assert again.result.sample_errors == first.result.sample_errors
    assert (longer.result.offset, longer.result.duplicate, longer.next_offset) == (1, False, 3)


async def test_errors_of_a_batch_are_in_band_and_the_call_goes_on(stub: Any) -> None:
    broken = batch([GOOD])
    broken.batch.content_blake3 = bytes(32)
    other = batch([GOOD])
    other.batch.content_hash = bytes(32)
    answers = await append(
        stub,
        batch([GOOD], 0),
        batch([text("other")], 0),
        batch([GOOD], 7),
        broken,
        other,
        pb.AppendSamplesRequest(batch=pb.SampleBatch()),
        pb.AppendSamplesRequest(piece=media_pb2.MediaPiece()),
        pb.AppendSamplesRequest(setup=pb.AppendSetup()),
        pb.AppendSamplesRequest(),
        batch([GOOD], 1),
    )
    shown = [
        (grpc_code(answer), answer.error.reason, answer.error.field) for answer in answers[2:10]
    ]
    assert shown == [
        ("ALREADY_EXISTS", "CONTENT_CONFLICT", "offset"),
        ("OUT_OF_RANGE", "OFFSET_GAP", "offset"),
        ("INVALID_ARGUMENT", "INVALID_INPUT", "batch.content_blake3"),
        ("INVALID_ARGUMENT", "INVALID_INPUT", "batch.content_hash"),
        ("INVALID_ARGUMENT", "LIMIT_EXCEEDED", "batch.samples"),
        ("INVALID_ARGUMENT", "INVALID_INPUT", "piece.media_id"),
        ("INVALID_ARGUMENT", "INVALID_INPUT", "setup"),
        ("INVALID_ARGUMENT", "INVALID_INPUT", "request"),
    ]
    assert {answer.next_offset for answer in answers[2:10]} == {1}
    sent, stored = content.digest(text("other")).hex(), content.digest(GOOD).hex()
    assert dict(answers[2].error.metadata) == {
        "offset": "0", "next_offset": "1", "stored_hash": stored, "sent_hash": sent,
    }  # fmt: skip
    assert dict(answers[3].error.metadata) == {"expected_offset": "1"}
    assert answers[10].result.offset == 1


def grpc_code(answer: pb.AppendSamplesResponse) -> str:
    return next(code.name for code in grpc.StatusCode if code.value[0] == answer.error.code)


async def test_a_finalized_stream_takes_no_more_but_knows_what_it_has(stub: Any) -> None:
    await append(stub, batch([GOOD], 0))
    await stub.FinalizeStream(pb.FinalizeStreamRequest(name=NAME))
    done = await stub.FinalizeStream(pb.FinalizeStreamRequest(name=NAME))
    assert done.stream.state == pb.STREAM_STATE_FINALIZED
    _, again, more = await append(stub, batch([GOOD], 0), batch([GOOD], 1))
    assert again.result.duplicate
    assert more.error.reason == "STREAM_FINALIZED"


async def test_who_takes_a_stream_over_fences_who_had_it(stub: Any) -> None:
    opening = pb.AppendSamplesRequest(setup=pb.AppendSetup(stream=NAME, take_over=True))
    old = stub.AppendSamples()
    await old.write(opening)
    assert (await old.read()).setup_ack.writer_epoch == 1
    (ack,) = await append(stub, take_over=True)
    assert ack.setup_ack.writer_epoch == 2
    await old.write(batch([GOOD], 0))
    assert (await old.read()).error.reason == "FENCED"
    await old.done_writing()
    _, answer = await append(stub, batch([GOOD], 0), writer_epoch=2)
    assert answer.result.offset == 0


class Away(ParrotEngine):
    """Its database goes away behind a claim."""

    async def stream(self, name: str) -> Stream:
        raise Overloaded(f"nobody can tell of {name}", retry_after_s=1.0)


async def test_a_claim_that_may_count_is_not_told_as_refused(tmp_path: Path) -> None:
    with Store.open(StoreConfig(folder=tmp_path)) as store:
        config = GatewayConfig(address="127.0.0.1:0", grace_s=0)
        async with (
            running(config, Away(store)) as port,
            grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel,
        ):
            stub: Any = IngestionServiceStub(channel)
            await stub.CreateStream(pb.CreateStreamRequest(stream_id="digits"))
            assert (await refusal(append(stub)))[1] == "OVERLOADED"
            assert (await refusal(append(stub, take_over=True)))[1] == "UNREACHABLE"
            assert store.log.get("digits").epoch == 1


async def test_following_goes_on_until_the_stream_is_finalized(stub: Any) -> None:
    await append(stub, batch([text("a")], 0))
    reading = asyncio.create_task(read(stub, follow=True))
    await append(stub, batch([text("b")], 1))
    await stub.FinalizeStream(pb.FinalizeStreamRequest(name=NAME))
    assert [sample.sample_id for _, sample in await reading] == ["a", "b"]


async def test_filters_leave_out_what_is_not_wanted(stub: Any) -> None:
    labelled = Sample("ru", (Part("text", b"x", role="ru"),), labels={"split": "valid"})
    await append(stub, batch([GOOD, labelled], 0))
    for wanted, offsets in (
        (pb.ReadFilter(modalities=[media_pb2.MODALITY_TEXT]), [0, 1]),
        (pb.ReadFilter(modalities=[media_pb2.MODALITY_IMAGE]), []),
        (pb.ReadFilter(roles=["ru"]), [1]),
        (pb.ReadFilter(labels={"split": "valid"}), [1]),
        (pb.ReadFilter(labels={"split": "train"}), []),
    ):
        assert [offset for offset, _ in await read(stub, filter=wanted)] == offsets


async def test_streams_are_listed_in_pages(stub: Any) -> None:
    for name in ("a", "c", "b"):
        await stub.CreateStream(pb.CreateStreamRequest(stream_id=name))
    found: list[str] = []
    token = ""
    while not found or token:
        page = await stub.ListStreams(pb.ListStreamsRequest(page_size=3, page_token=token))
        found += [stream.name for stream in page.streams]
        token = page.next_page_token
    assert found == ["streams/a", "streams/b", "streams/c", NAME]


async def test_a_deleted_stream_is_gone(stub: Any) -> None:
    await stub.DeleteStream(pb.DeleteStreamRequest(name=NAME))
    code, reason, *_ = await refusal(stub.GetStream(pb.GetStreamRequest(name=NAME)))
    assert (code, reason) == (grpc.StatusCode.NOT_FOUND, "NOT_FOUND")


async def test_refusals_end_a_call_with_reason_and_field(stub: Any) -> None:
    invalid = grpc.StatusCode.INVALID_ARGUMENT
    taken = pb.CreateStreamRequest(stream_id="digits")
    assert (await refusal(stub.CreateStream(taken)))[:3] == (
        grpc.StatusCode.ALREADY_EXISTS, "ALREADY_EXISTS", "name",
    )  # fmt: skip
    wrong = pb.CreateStreamRequest(stream_id="Digits!")
    assert (await refusal(stub.CreateStream(wrong)))[:3] == (invalid, "INVALID_INPUT", "name")
    bare = pb.GetStreamRequest(name="digits")
    assert (await refusal(stub.GetStream(bare)))[:3] == (invalid, "INVALID_INPUT", "name")
    call = stub.AppendSamples(iter([batch([GOOD], 0)]))
    assert (await refusal(call.read()))[:3] == (invalid, "INVALID_INPUT", "setup")


samples = st.sampled_from([text("a"), text("b"), text("c"), BAD])
steps = st.lists(
    st.tuples(st.integers(0, 6), st.lists(samples, min_size=1, max_size=3)), max_size=8
)


@settings(max_examples=15)
@given(steps=steps)
def test_any_history_of_appends_leaves_the_stream_that_a_list_would_be(
    steps: list[tuple[int, list[Sample]]], tmp_path_factory: pytest.TempPathFactory
) -> None:
    """The model: an append at o is taken if it agrees with the list from o on and leaves no gap."""
    asyncio.run(_history(steps, tmp_path_factory.mktemp("store")))


async def _history(steps: list[tuple[int, list[Sample]]], folder: Path) -> None:
    expected: list[Sample] = []
    with Store.open(StoreConfig(folder=folder)) as store:
        config = GatewayConfig(address="127.0.0.1:0", grace_s=0)
        async with (
            running(config, ParrotEngine(store)) as port,
            grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel,
        ):
            stub: Any = IngestionServiceStub(channel)
            await stub.CreateStream(pb.CreateStreamRequest(stream_id="digits"))
            sent = [batch(content, offset) for offset, content in steps]
            _, *answers = await append(stub, *sent)
            for (offset, content), answer in zip(steps, answers, strict=True):
                there = expected[offset : offset + len(content)]
                if offset > len(expected):
                    assert answer.error.reason == "OFFSET_GAP"
                elif there != content[: len(there)]:
                    assert answer.error.reason == "CONTENT_CONFLICT"
                else:
                    assert answer.result.duplicate == (len(there) == len(content))
                    expected[offset : offset + len(content)] = content
                assert answer.next_offset >= 0
            kept = [(at, sample) for at, sample in enumerate(expected) if sample is not BAD]
            assert await read(stub) == kept

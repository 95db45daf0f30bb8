"""Media that grow through the socket: however they are cut and broken off, the stream is the same.

The law: a stream whose media came piece by piece has the digest of one whose samples came whole.
"""

import asyncio
import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rankspace.media.encode import wav
from rankspace.media.sample import Part, Sample
from rankspace.store.config import StoreConfig
from rankspace.store.growing import Abandon, Begin, Chunk, End, Head
from rankspace.store.store import Store
from rankspace.v1 import ingestion_pb2 as pb
from rankspace.v1 import media_pb2
from rankspace.v1.ingestion_pb2_grpc import IngestionServiceStub
from rankspace.wire.growing import write_step
from rankspace.wire.ingestion import read_stored, write_batch
from rankspace.wire.media import write_part
from services.gateway.config import GatewayConfig
from services.gateway.server import running
from tests.services.parrot import ParrotEngine
from tests.strategies import cuttings
from tests.worlds import tone

NAME = "streams/live"
CLOCK_US = 1_700_000_000_000_000
SOUND = wav(tone(300, 0.1))
PCM = bytes(range(100)) * 8


@pytest.fixture
async def stub(channel: grpc.aio.Channel) -> Any:
    made: Any = IngestionServiceStub(channel)
    await made.CreateStream(pb.CreateStreamRequest(stream_id="live"))
    return made


async def call(stub: Any, *requests: pb.AppendSamplesRequest) -> list[pb.AppendSamplesResponse]:
    """One call: the setup, then these requests; all the answers."""
    opening = pb.AppendSamplesRequest(setup=pb.AppendSetup(stream=NAME))
    return [answer async for answer in stub.AppendSamples(iter([opening, *requests]))]


def request(step: Any) -> pb.AppendSamplesRequest:
    return pb.AppendSamplesRequest(piece=write_step(step))


def grown(media_id: str, data: bytes, head: Head, cuts: list[slice]) -> Iterator[Any]:
    yield Begin(media_id, head)
    for cut in cuts:
        if data[cut]:
            yield Chunk(media_id, cut.start, data[cut])
    yield End(media_id, len(data), hashlib.sha256(data).digest())


def batch(samples: list[Sample], offset: int, names: dict[int, str]) -> pb.AppendSamplesRequest:
    """A batch whose samples' first parts have grown under these names."""
    message = write_batch(samples, offset)
    for at, media_id in names.items():
        named = media_pb2.Part(growing=media_pb2.GrowingMedia(media_id=media_id))
        message.samples[at].parts[0].CopyFrom(named)
    message.content_blake3 = b""
    return pb.AppendSamplesRequest(batch=message)


SOUNDS = [wav(tone(hertz, 0.05)) for hertz in (200, 300, 400)]
WHOLE = [
    Sample(f"n{at}", (Part("audio", data, "wav", "speech"), Part("text", b"said"))) for at, data in
    enumerate(SOUNDS)
]  # fmt: skip


@settings(max_examples=5)
@given(data=st.data())
def test_any_cutting_mixing_and_reconnecting_gives_the_stream_of_the_whole(
    data: st.DataObject, tmp_path_factory: pytest.TempPathFactory
) -> None:
    asyncio.run(_history(data, tmp_path_factory.mktemp("store")))


async def _history(data: st.DataObject, folder: Path) -> None:
    """Two media; calls end anywhere, and what they sent last comes again in the next one."""
    head = Head("audio", "wav", "speech")
    queues = [
        list(grown(f"m{at}", SOUNDS[at], head, data.draw(cuttings(len(SOUNDS[at])))))
        for at in (0, 2)
    ]
    mixed: list[pb.AppendSamplesRequest] = []
    while any(queues):
        queue = data.draw(st.sampled_from([queue for queue in queues if queue]))
        mixed.append(request(queue.pop(0)))
    first_end = max(at for at, each in enumerate(mixed) if each.piece.media_id == "m0") + 1
    mixed.insert(data.draw(st.integers(first_end, len(mixed))), batch(WHOLE[:1], 0, {0: "m0"}))
    mixed.append(batch(WHOLE[1:], 1, {1: "m2"}))
    with Store.open(StoreConfig(folder=folder)) as store:
        async with (
            running(GatewayConfig(address="127.0.0.1:0", grace_s=0), ParrotEngine(store)) as port,
            grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel,
        ):
            stub: Any = IngestionServiceStub(channel)
            await stub.CreateStream(pb.CreateStreamRequest(stream_id="live"))
            at = 0
            while at < len(mixed):
                stop = data.draw(st.integers(at + 1, len(mixed)))
                answers = await call(stub, *mixed[max(0, at - 2) : stop])
                assert not [answer for answer in answers if answer.HasField("error")]
                at = stop
        store.log.create("whole")
        store.log.append("whole", 0, WHOLE)
        assert store.log.get("live").digest == store.log.get("whole").digest
        assert [sample for _, sample in store.log.read("live")] == WHOLE


async def test_nothing_is_seen_of_a_medium_before_a_batch_names_it(stub: Any) -> None:
    head = Head("audio", "wav")
    steps = list(grown("m", SOUND, head, [slice(0, 100), slice(100, len(SOUND))]))
    ack, begun, chunk, again = await call(stub, *map(request, (*steps[:2], steps[1])))
    assert list(ack.setup_ack.media) == []
    assert (begun.piece.position, chunk.piece.position) == (0, 100)
    assert (again.piece.position, again.piece.duplicate) == (100, True)
    assert (begun.batch, chunk.batch, again.batch) == (0, 1, 2)
    sample = Sample("s", (Part("audio", SOUND, "wav"),))
    ack, early = await call(stub, batch([sample], 0, {0: "m"}))
    (state,) = ack.setup_ack.media
    assert (state.media_id, state.position, state.ended) == ("m", 100, False)
    assert (early.error.reason, early.error.field) == (
        "REFUSED", "batch.samples[0].parts[0].growing",
    )  # fmt: skip
    stream = (await stub.GetStream(pb.GetStreamRequest(name=NAME))).stream
    assert stream.next_offset == 0
    *_, done = await call(stub, *map(request, steps[2:]), batch([sample], 0, {0: "m"}))
    assert done.result.offset == 0
    (answer, end) = [one async for one in stub.ReadSamples(pb.ReadSamplesRequest(stream=NAME))]
    assert read_stored(answer.samples[0]) == (0, sample)
    assert end.next_offset == 1


async def test_what_is_wrong_with_a_piece_is_said_and_the_call_goes_on(stub: Any) -> None:
    head = Head("audio", "wav")
    chunk = media_pb2.MediaPiece(media_id="m", chunk=b"x" * ((1 << 20) + 1))
    far = media_pb2.MediaPiece(media_id="m", chunk=b"x", position=1 << 40)
    _, *answers = await call(
        stub,
        request(Chunk("m", 0, b"x")),
        request(Begin("m", head)),
        request(Chunk("m", 7, b"x")),
        pb.AppendSamplesRequest(piece=chunk),
        pb.AppendSamplesRequest(piece=far),
        request(Begin("m/1", head)),
        pb.AppendSamplesRequest(piece=media_pb2.MediaPiece(media_id="m")),
        request(End("m", 9)),
        request(Abandon("m")),
        batch([Sample("s", (Part("audio", b"", "wav"),))], 0, {0: "m"}),
    )
    told = [(answer.error.reason, answer.error.field) for answer in answers]
    assert told == [
        ("NOT_FOUND", "piece.media_id"),
        ("", ""),
        ("OFFSET_GAP", "piece.position"),
        ("LIMIT_EXCEEDED", "piece.chunk"),
        ("LIMIT_EXCEEDED", "piece.chunk"),
        ("INVALID_INPUT", "piece.media_id"),
        ("INVALID_INPUT", "piece.step"),
        ("OFFSET_GAP", "piece.end.bytes"),
        ("", ""),
        ("NOT_FOUND", "batch.samples[0].parts[0].growing"),
    ]
    assert dict(answers[2].error.metadata) == {"expected_position": "0"}


async def test_media_of_one_sample_share_its_clock(stub: Any) -> None:
    """The sample happened when the first of its media began; each starts at its distance."""
    early, late = CLOCK_US, CLOCK_US + 250_000
    heads = {
        "voice": Head("audio", "pcm_s16le", "voice", 16_000, 1, late),
        "room": Head("audio", "pcm_s16le", "", 16_000, 1, early),
    }
    steps = [
        step for name, head in heads.items() for step in grown(name, PCM, head, [slice(0, 800)])
    ]
    sample = media_pb2.Sample(sample_id="talk")
    for name in heads:
        sample.parts.add(growing=media_pb2.GrowingMedia(media_id=name))
    sample.parts[1].role = "room"
    sample.parts.append(write_part(Part("text", b"hello", start_us=400_000)))
    message = pb.AppendSamplesRequest(batch=pb.SampleBatch(offset=0, samples=[sample]))
    *_, done = await call(stub, *map(request, steps), message)
    assert not done.result.sample_errors
    (answer, _) = [one async for one in stub.ReadSamples(pb.ReadSamplesRequest(stream=NAME))]
    _, found = read_stored(answer.samples[0])
    assert isinstance(found, Sample)
    assert found.event_time_us == early
    assert [(part.role, part.start_us) for part in found.parts] == [
        ("voice", 250_000), ("room", 0), ("", 400_000),
    ]  # fmt: skip


async def test_a_medium_that_is_no_good_is_refused_with_its_sample(stub: Any) -> None:
    steps = grown("m", b"no sound at all", Head("audio", "wav"), [slice(0, 15)])
    sample = Sample("bad", (Part("audio", b"", "wav"),))
    *_, done = await call(stub, *map(request, steps), batch([sample], 0, {0: "m"}))
    (error,) = done.result.sample_errors
    assert (error.problem.reason, error.problem.field) == ("MALFORMED_MEDIA", "parts[0].data")


async def test_a_batch_names_no_more_than_fits(engine: ParrotEngine) -> None:
    config = GatewayConfig.model_validate({
        "address": "127.0.0.1:0", "grace_s": 0, "ingestion": {"growing_bytes_max": 1000},
    })  # fmt: skip
    async with (
        running(config, engine) as port,
        grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel,
    ):
        stub: Any = IngestionServiceStub(channel)
        await stub.CreateStream(pb.CreateStreamRequest(stream_id="live"))
        head = Head("audio", "pcm_s16le", "", 16_000, 1)
        media = [step for name in "ab" for step in grown(name, PCM, head, [slice(0, 800)])]
        both = [Sample(name, (Part("audio", PCM),)) for name in "ab"]
        ack, *answers = await call(
            stub,
            *map(request, media),
            batch(both, 0, {0: "a", 1: "b"}),
            batch(both[:1], 0, {0: "a"}),
            batch(both[1:], 1, {0: "b"}),
        )
        assert ack.setup_ack.growing_bytes_max == 1000
        assert answers[-3].error.reason == "LIMIT_EXCEEDED"
        assert [answer.result.offset for answer in answers[-2:]] == [0, 1]


async def test_a_medium_larger_than_any_message_is_read_back(engine: ParrotEngine) -> None:
    config = GatewayConfig.model_validate({
        "address": "127.0.0.1:0", "grace_s": 0, "message_bytes_max": 1 << 20,
    })  # fmt: skip
    data = PCM * 4000
    cuts = [slice(at, at + 500_000) for at in range(0, len(data), 500_000)]
    head = Head("audio", "pcm_s16le", "", 16_000, 1)
    options = [("grpc.max_receive_message_length", -1)]
    async with (
        running(config, engine) as port,
        grpc.aio.insecure_channel(f"127.0.0.1:{port}", options) as channel,
    ):
        stub: Any = IngestionServiceStub(channel)
        await stub.CreateStream(pb.CreateStreamRequest(stream_id="live"))
        sample = Sample("long", (Part("audio", b""),))
        *_, done = await call(
            stub, *map(request, grown("m", data, head, cuts)), batch([sample], 0, {0: "m"})
        )
        assert done.result.offset == 0
        (answer, _) = [one async for one in stub.ReadSamples(pb.ReadSamplesRequest(stream=NAME))]
        assert answer.samples[0].sample.parts[0].audio.data == data

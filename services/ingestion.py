"""IngestionService: read the wire, ask the engine, write the wire."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import Any

from grpc.aio import ServicerContext
from pydantic import Field

from rankspace.config import Config
from rankspace.errors import InvalidInput, LimitExceeded, NotBuilt, RankspaceError
from rankspace.media.limits import Limits
from rankspace.media.probe import check
from rankspace.media.sample import Sample
from rankspace.store.entries import Appended, Rejected, Stream
from rankspace.v1 import ingestion_pb2 as pb
from rankspace.v1 import ingestion_pb2_grpc as pb_grpc
from rankspace.v1 import media_pb2
from rankspace.v1.problem_pb2 import GoAway
from rankspace.wire import ingestion as wire
from rankspace.wire.media import read_sample
from rankspace.wire.names import read_name, read_page
from rankspace.wire.problems import BY_REASON
from services.draining import Draining
from services.engine import Streams, Window
from services.errors import problem

Context = ServicerContext[Any, Any]
Refusals = list[tuple[int, RankspaceError]]


class IngestionConfig(Config):
    """What a writer may send."""

    limits: Limits = Limits()
    """Bounds on every sample."""

    batch_samples_max: int = Field(default=1024, gt=0, le=65536)
    """Samples in one batch: one transaction."""

    credit_batches: int = Field(default=16, gt=0, le=4096)
    """Batches a writer may have on their way without an answer."""

    credit_bytes: int = Field(default=64 << 20, gt=0, le=1 << 31)
    """Bytes of such batches; a single message may always be on its way."""


class Ingestion(pb_grpc.IngestionServiceServicer):
    """Streams of samples."""

    def __init__(
        self, engine: Streams, config: IngestionConfig, message_bytes_max: int, draining: Draining
    ) -> None:
        self._engine = engine
        self._config = config
        self._draining = draining
        self._message_bytes_max = message_bytes_max

    async def CreateStream(
        self, request: pb.CreateStreamRequest, _context: Context
    ) -> pb.CreateStreamResponse:
        stream = await self._engine.create_stream(
            request.stream_id, dict(request.labels), request.description
        )
        return pb.CreateStreamResponse(stream=wire.write_stream(stream))

    async def GetStream(
        self, request: pb.GetStreamRequest, _context: Context
    ) -> pb.GetStreamResponse:
        stream = await self._engine.stream(read_name("streams", request.name))
        return pb.GetStreamResponse(stream=wire.write_stream(stream))

    async def ListStreams(
        self, request: pb.ListStreamsRequest, _context: Context
    ) -> pb.ListStreamsResponse:
        page = await self._engine.streams(*read_page(request))
        streams = map(wire.write_stream, page.items)
        return pb.ListStreamsResponse(streams=streams, next_page_token=page.next_token)

    async def FinalizeStream(
        self, request: pb.FinalizeStreamRequest, _context: Context
    ) -> pb.FinalizeStreamResponse:
        stream = await self._engine.finalize_stream(read_name("streams", request.name))
        return pb.FinalizeStreamResponse(stream=wire.write_stream(stream))

    async def DeleteStream(
        self, request: pb.DeleteStreamRequest, _context: Context
    ) -> pb.DeleteStreamResponse:
        await self._engine.delete_stream(read_name("streams", request.name))
        return pb.DeleteStreamResponse()

    async def AppendSamples(
        self, requests: AsyncIterator[pb.AppendSamplesRequest], _context: Context
    ) -> AsyncIterator[pb.AppendSamplesResponse]:
        """One answer to every message, in order; a batch that is refused does not end the call."""
        first = await anext(aiter(requests), pb.AppendSamplesRequest())
        name, epoch = await self._writer(first)
        stream = await self._engine.stream(name)
        yield self._ack(stream, epoch)
        number = 0
        async with aclosing(self._draining.over(aiter(requests))) as said:
            async for request in said:
                if isinstance(request, GoAway):
                    yield pb.AppendSamplesResponse(go_away=request)
                    continue
                answer = await self._answer(name, epoch, request)
                answer.batch = number
                yield answer
                number += 1

    async def _writer(self, first: pb.AppendSamplesRequest) -> tuple[str, int]:
        """The stream to write to and the epoch to write with."""
        if not first.HasField("setup"):
            raise InvalidInput("the first message is the setup; send it and wait", "setup")
        name = read_name("streams", first.setup.stream, "setup.stream")
        epoch = first.setup.writer_epoch
        if epoch < 0 or (epoch and first.setup.take_over):
            raise InvalidInput(
                "writer_epoch is 0 or more, and 0 with take_over", "setup.writer_epoch"
            )
        if epoch or first.setup.take_over:
            epoch = await self._engine.claim(name, epoch)
        return name, epoch

    def _ack(self, stream: Stream, epoch: int) -> pb.AppendSamplesResponse:
        config = self._config
        ack = pb.AppendSetupAck(
            stream=f"streams/{stream.name}",
            next_offset=stream.next_offset,
            credits=pb.Credits(batches=config.credit_batches, bytes=config.credit_bytes),
            durability=pb.DURABILITY_SYNCED,
            writer_epoch=epoch or stream.epoch,
            message_bytes_max=self._message_bytes_max,
            batch_samples_max=config.batch_samples_max,
        )
        return pb.AppendSamplesResponse(setup_ack=ack, next_offset=stream.next_offset)

    async def _answer(
        self, name: str, epoch: int, request: pb.AppendSamplesRequest
    ) -> pb.AppendSamplesResponse:
        try:
            batch = _batch(request)
            entries, refusals = await asyncio.to_thread(admit, batch, self._config)
            offset = wire.read_offset(batch)
            appended = await self._engine.append(name, offset, entries, epoch)
        except RankspaceError as error:
            stream = await self._engine.stream(name)
            return pb.AppendSamplesResponse(error=problem(error), next_offset=stream.next_offset)
        result = _result(appended, batch, refusals)
        return pb.AppendSamplesResponse(result=result, next_offset=appended.next)

    async def ReadSamples(
        self, request: pb.ReadSamplesRequest, _context: Context
    ) -> AsyncIterator[pb.ReadSamplesResponse]:
        """The samples one by one; the last answer tells where a new call would go on."""
        if request.offset < 0 or request.limit < 0:
            raise InvalidInput("offset and limit are 0 or more", "offset")
        wanted = wire.read_filter(request.filter)
        window = Window(request.offset, request.follow, wanted.rejected)
        given, after = 0, request.offset
        name = read_name("streams", request.stream, "stream")
        stored_entries = self._engine.read(name, window)
        if request.follow:
            stored_entries = self._draining.until(stored_entries)
        async with aclosing(stored_entries) as entries:
            async for offset, entry in entries:
                after = offset + 1
                if wanted.takes(entry):
                    given += 1
                    stored = wire.write_stored(offset, entry, _code(entry))
                    yield pb.ReadSamplesResponse(samples=[stored], next_offset=after)
                if given == request.limit > 0:
                    break
        yield pb.ReadSamplesResponse(next_offset=after)


def admit(
    batch: pb.SampleBatch, config: IngestionConfig
) -> tuple[list[Sample | Rejected], Refusals]:
    """Every sample of a batch, or what is left of it, and why; slow, for a thread."""
    wire.check_hash(batch)
    if not 0 < len(batch.samples) <= config.batch_samples_max:
        raise LimitExceeded(
            f"a batch holds 1 to {config.batch_samples_max} samples, this one {len(batch.samples)}",
            "batch.samples",
        )
    refusals: Refusals = []
    entries = []
    for index, message in enumerate(batch.samples):
        entry, error = _admit(message, config.limits)
        entries.append(entry)
        if error is not None:
            refusals.append((index, error))
    return entries, refusals


def _admit(
    message: media_pb2.Sample, limits: Limits
) -> tuple[Sample | Rejected, RankspaceError | None]:
    sample = None
    try:
        sample = read_sample(message)
        check(sample, limits)
    except (InvalidInput, NotBuilt) as error:
        shown = message.sample_id[: limits.sample_id_chars_max].replace("\0", "\ufffd")
        return Rejected(shown, error.reason(), error.message, sample), error
    return sample, None


def _batch(request: pb.AppendSamplesRequest) -> pb.SampleBatch:
    match request.WhichOneof("request"):
        case "batch":
            return request.batch
        case "piece":
            raise NotBuilt("growing media are not there yet; send the medium in one part", "piece")
        case "setup":
            raise InvalidInput("only the first message is a setup; open another call", "setup")
    raise InvalidInput("the message is empty; send a batch", "request")


def _result(appended: Appended, batch: pb.SampleBatch, refusals: Refusals) -> pb.AppendResult:
    errors = [
        pb.SampleError(
            index=index,
            offset=appended.first + index,
            sample_id=batch.samples[index].sample_id,
            problem=problem(error),
        )
        for index, error in refusals
    ]
    return pb.AppendResult(
        offset=appended.first,
        duplicate=appended.duplicate,
        durable_offset=appended.next,
        sample_errors=errors,
    )


def _code(entry: Sample | Rejected) -> int:
    if isinstance(entry, Sample):
        return 0
    return problem(BY_REASON.get(entry.reason, RankspaceError)("")).code

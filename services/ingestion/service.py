"""IngestionService: read the wire, ask the engine, write the wire."""

from collections.abc import AsyncIterator, Sequence
from contextlib import aclosing, nullcontext
from typing import Any, cast

from grpc.aio import ServicerContext

from rankspace.errors import InvalidInput, RankspaceError
from rankspace.media.sample import Sample
from rankspace.store.entries import Rejected, Stream
from rankspace.store.growing import Grown
from rankspace.v1 import ingestion_pb2 as pb
from rankspace.v1 import ingestion_pb2_grpc as pb_grpc
from rankspace.wire import ingestion as wire
from rankspace.wire.growing import write_state
from rankspace.wire.intake import Intake, Plain
from rankspace.wire.names import read_name, read_page
from rankspace.wire.problems import BY_REASON
from services.auth import caller
from services.draining import Draining
from services.engine import Streams, Window
from services.errors import problem
from services.ingestion.answering import A_CLAIM, behind
from services.ingestion.appending import Appending
from services.ingestion.config import IngestionConfig
from services.ingestion.rejecting import Rejecting
from services.ingestion.room import Came, Requests, Room, Writer
from services.quotas import Quotas
from services.telemetry.metrics import READ_SAMPLES

Context = ServicerContext[Any, Any]


READ_AT_ONCE = 2 << 20
"""Bytes of a message that is read in one go: a millisecond or two, most of it hashing."""


class Ingestion(pb_grpc.IngestionServiceServicer):
    """Streams of samples."""

    def __init__(
        self,
        engine: Streams,
        config: IngestionConfig,
        message_bytes_max: int,
        draining: Draining,
        quotas: Quotas,
    ) -> None:
        self._engine = engine
        self._config = config
        self._draining = draining
        self._message_bytes_max = message_bytes_max
        self._room = Room(config, quotas)
        self._rejecting = Rejecting(engine, config, self._room)
        self._intake: Intake | None = None
        if config.native:
            most = engine.inline_bytes_max
            self._intake = Intake.load(config.limits, config.batch_samples_max, most)

    def read(self, message: bytes) -> Came:
        """A message of AppendSamples. Raises DecodeError."""
        if self._intake is not None and len(message) <= READ_AT_ONCE:
            plain = self._intake.read(message)
            if plain is not None:
                return plain
        return pb.AppendSamplesRequest.FromString(message)

    def warm(self) -> None:
        """Have a process ready to look into media, for whoever comes first."""
        self._room.sandbox.report()

    def close(self) -> None:
        """End the processes that look into media; no call is open any more."""
        self._room.sandbox.close()

    async def CreateStream(
        self, request: pb.CreateStreamRequest, _context: Context
    ) -> pb.CreateStreamResponse:
        stream = await self._engine.create_stream(
            request.stream_id,
            dict(request.labels),
            request.description,
            wire.read_retention(request.retention),
            request.strip_metadata,
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

    async def UpdateStream(
        self, request: pb.UpdateStreamRequest, _context: Context
    ) -> pb.UpdateStreamResponse:
        change = wire.read_change(request)
        stream = await self._engine.update_stream(read_name("streams", request.name), change)
        return pb.UpdateStreamResponse(stream=wire.write_stream(stream))

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
        first: Came = await anext(aiter(requests), pb.AppendSamplesRequest())
        if isinstance(first, Plain) or not first.HasField("setup"):
            raise InvalidInput("the first message is the setup; send it and wait", "setup")
        name, epoch = await self._writer(first.setup)
        durability = wire.read_durability(first.setup.durability)
        claimed = first.setup.writer_epoch or first.setup.take_over
        with behind(A_CLAIM) if claimed else nullcontext():
            stream = await self._engine.stream(name)
            growing = await self._engine.growing(name)
        keep = self._config.keep_rejects or stream.labels.get("rejects") == "keep"
        strip = stream.strip_metadata
        # What is refused cannot be stripped, so it is not kept where nothing else is stored.
        writer = Writer(name, epoch, durability, keep and not strip, strip)
        yield self._ack(stream, writer, growing)
        call = Appending(self._engine, self._config, self._room, writer)
        told = cast(Requests, requests)  # what the door hands in
        async with aclosing(call.answers(told, self._draining)) as answers:
            async for answer in answers:
                yield answer

    async def _writer(self, setup: pb.AppendSetup) -> tuple[str, int]:
        """The stream to write to and the epoch to write with."""
        name = read_name("streams", setup.stream, "setup.stream")
        epoch = setup.writer_epoch
        if epoch < 0 or (epoch and setup.take_over):
            raise InvalidInput(
                "writer_epoch is 0 or more, and 0 with take_over", "setup.writer_epoch"
            )
        if epoch or setup.take_over:
            epoch = await self._engine.claim(name, epoch)
        return name, epoch

    def _ack(
        self, stream: Stream, writer: Writer, growing: Sequence[Grown]
    ) -> pb.AppendSamplesResponse:
        config = self._config
        ack = pb.AppendSetupAck(
            stream=f"streams/{stream.name}",
            next_offset=stream.next_offset,
            credits=pb.Credits(batches=config.credit_batches, bytes=config.credit_bytes),
            durability=wire.write_durability(writer.durability),
            writer_epoch=writer.epoch or stream.epoch,
            message_bytes_max=self._message_bytes_max,
            batch_samples_max=config.batch_samples_max,
            media=map(write_state, growing),
            growing_bytes_max=config.growing_bytes_max,
            chunk_bytes_max=config.chunk_bytes_max,
        )
        return pb.AppendSamplesResponse(setup_ack=ack, next_offset=stream.next_offset)

    async def ReadSamples(
        self, request: pb.ReadSamplesRequest, _context: Context
    ) -> AsyncIterator[pb.ReadSamplesResponse]:
        """The samples one by one; the last answer tells where a new call would go on."""
        if request.offset < 0 or request.limit < 0:
            raise InvalidInput("offset and limit are 0 or more", "offset")
        wanted = wire.read_filter(request.filter)
        window = Window(request.offset, request.follow, wanted.rejected, wanted.sieve)
        given, after = 0, request.offset
        name = read_name("streams", request.stream, "stream")
        end = (await self._engine.stream(name)).next_offset
        stored_entries, tenant = self._engine.read(name, window), caller().tenant
        if request.follow:
            stored_entries = self._draining.until(stored_entries)
        async with aclosing(stored_entries) as entries:
            async for offset, entry in entries:
                given, after = given + 1, offset + 1
                READ_SAMPLES.add(1, tenant)
                stored = wire.write_stored(offset, entry, _code(entry))
                yield pb.ReadSamplesResponse(samples=[stored], next_offset=after)
                if given == request.limit > 0:
                    break
            else:
                after = max(after, end)  # all of it was looked at
        yield pb.ReadSamplesResponse(next_offset=after)

    async def ListRejects(
        self, request: pb.ListRejectsRequest, _context: Context
    ) -> pb.ListRejectsResponse:
        return await self._rejecting.listed(request)

    async def GetReject(
        self, request: pb.GetRejectRequest, _context: Context
    ) -> pb.GetRejectResponse:
        return await self._rejecting.shown(request)

    async def RetryReject(
        self, request: pb.RetryRejectRequest, _context: Context
    ) -> pb.RetryRejectResponse:
        return await self._rejecting.retried(request)


def _code(entry: Sample | Rejected) -> int:
    if isinstance(entry, Sample):
        return 0
    return problem(BY_REASON.get(entry.reason, RankspaceError)("")).code

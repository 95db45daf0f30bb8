"""Appending to a stream over connections that may break: the I/O around `Window`.

    source ──▶ Feed ──▶ Window ──▶ call ──▶ server
                          ▲                   │
                          └──── answers ◀─────┘

On every connection one task writes, one reads and one watches that answers keep coming. Whatever
ends a connection, the next one takes up the window where it stands.
"""

import asyncio
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass, replace
from typing import Any

import grpc

from rankspace.client.connection import Connection, Patience
from rankspace.client.feed import Feed, Message
from rankspace.client.tracing import traced
from rankspace.client.window import Batch, Window
from rankspace.errors import RankspaceError, Unreachable
from rankspace.v1 import ingestion_pb2 as pb
from rankspace.v1 import media_pb2
from rankspace.v1.ingestion_pb2_grpc import IngestionServiceStub
from rankspace.wire.problems import read_problem

BATCH_BYTES = 1 << 20
"""Bytes of a batch, about: enough for one sync to pay, few enough to keep event loops turning."""

Messages = list[Message]


@dataclass(frozen=True, slots=True)
class SampleError:
    """A sample that the server refused; its offset holds a tombstone."""

    offset: int
    sample_id: str
    error: RankspaceError


@dataclass(frozen=True, slots=True)
class AppendSummary:
    """What became of the samples, so far or in the end."""

    stream: str
    samples: int = 0
    """Samples answered: stored for good, or refused."""

    bytes: int = 0
    """Their bytes on the wire."""

    rejected: int = 0
    """Samples refused."""

    duplicates: int = 0
    """Samples that were there already."""

    reconnects: int = 0
    """Connections that broke on the way."""

    next_offset: int = 0
    """Where the next sample would land."""

    errors: tuple[SampleError, ...] = ()
    """The first refusals, at most `ERRORS_KEPT`; a `rejected` callback hears of every one."""


ERRORS_KEPT = 1000

Progress = Callable[[AppendSummary], None]
Reject = Callable[[SampleError], None]


class Append:
    """One append, over as many connections as it takes."""

    def __init__(
        self,
        connection: Connection,
        setup: pb.AppendSetup,
        feed: Feed,
        offset: int | None,
        callbacks: tuple[Progress | None, Reject | None],
    ) -> None:
        self._connection = connection
        self._setup = setup
        self._feed = feed
        self._window: Window[Messages] = Window(offset)
        self._progress, self._reject = callbacks
        self._limits = (0, 0)
        self._ended = False
        self._leaving = False
        self._established = False
        self._known: dict[str, int] = {}
        self._turn = asyncio.Event()
        self._summary = AppendSummary(setup.stream.removeprefix("streams/"))

    async def run(self) -> AppendSummary:
        """Send everything; return when the last sample has its answer."""
        patience = Patience(self._connection.patience_s)
        while True:
            answers, self._established = self._window.answers, False
            try:
                await self._connect()
            except RankspaceError as error:
                quiet = self._established and not self._window.in_flight
                if self._window.answers > answers or quiet:
                    patience.renew()
                await patience.wait(error)
                if quiet:  # a call that only waited has failed at nothing
                    patience.renew()
                self._summary = replace(self._summary, reconnects=self._summary.reconnects + 1)
            else:
                return self._summary

    @property
    def _done(self) -> bool:
        return self._ended and self._window.empty

    async def _connect(self) -> None:
        with self._connection.failures(), traced("append") as carried:
            stub = IngestionServiceStub(self._connection.channel)
            call = stub.AppendSamples(metadata=(*self._connection.metadata, *carried))
            try:
                await self._begin(call)
                await _first(self._write(call), self._read(call), self._watch())
            finally:
                call.cancel()

    async def _begin(self, call: Any) -> None:
        try:
            async with asyncio.timeout(self._connection.timeout_s):
                await call.write(pb.AppendSamplesRequest(setup=self._setup))
                response = await call.read()
        except TimeoutError as error:
            raise Unreachable(f"{self._connection.target} does not answer") from error
        if response is grpc.aio.EOF or not response.HasField("setup_ack"):
            raise Unreachable(f"{self._connection.target} ended the call before it began")
        ack = response.setup_ack
        self._window.connected(ack.next_offset, ack.credits.batches, ack.credits.bytes)
        # What an earlier run of the same input has left need not be sent again.
        self._known = self._known or {medium.media_id: medium.position for medium in ack.media}
        self._established = True
        # A batch needs some bytes more than its samples.
        self._limits = (ack.batch_samples_max, ack.message_bytes_max - 1024)
        self._leaving = False
        if self._setup.take_over:
            # The epoch is this writer's now; taking over again would fence itself.
            self._setup.take_over, self._setup.writer_epoch = False, ack.writer_epoch

    async def _write(self, call: Any) -> None:
        try:
            while not self._done:
                await self._write_next(call)
            await call.done_writing()
        except (grpc.aio.AioRpcError, asyncio.InvalidStateError):
            pass  # the call is over; the reader learns why
        await asyncio.Event().wait()

    async def _write_next(self, call: Any) -> None:
        batch = None if self._leaving else self._window.take()
        if batch is not None:
            await call.write(_request(batch))
        elif self._window.wants_more and not self._ended and not self._leaving:
            samples_max, bytes_max = self._limits
            samples = await self._feed.take(samples_max, bytes_max, min(bytes_max, BATCH_BYTES))
            if samples:
                self._add(samples)
            else:
                self._ended = True
        else:
            self._turn.clear()
            await self._turn.wait()

    def _add(self, messages: Messages) -> None:
        size = sum(message.ByteSize() for message in messages)
        first = messages[0]
        if isinstance(first, media_pb2.Sample):
            self._window.add(len(messages), size, messages)
        elif not _reaches(first, self._known):
            self._window.add(0, size, messages)

    async def _read(self, call: Any) -> None:
        while (response := await call.read()) is not grpc.aio.EOF:
            self._hear(response)
            self._turn.set()
            if self._leaving and not self._window.in_flight and not self._done:
                raise Unreachable(f"{self._connection.target} is about to stop")
        if not self._done:
            raise Unreachable(f"{self._connection.target} ended the call")

    def _hear(self, response: pb.AppendSamplesResponse) -> None:
        match response.WhichOneof("response"):
            case "result":
                self._stored(response.result)
            case "piece":
                self._kept()
            case "error":
                raise read_problem(response.error)
            case "credits":
                self._window.credited(response.credits.batches, response.credits.bytes)
            case "go_away":
                self._leaving = True

    async def _watch(self) -> None:
        while True:
            answers = self._window.answers
            await asyncio.sleep(self._connection.timeout_s)
            if self._window.in_flight and self._window.answers == answers:
                raise Unreachable(f"{self._connection.target} has stopped answering")

    def _kept(self) -> None:
        piece = self._window.kept()
        self._summary = replace(self._summary, bytes=self._summary.bytes + piece.bytes)
        if self._progress:
            self._progress(self._summary)

    def _stored(self, result: pb.AppendResult) -> None:
        batch = self._window.answered(result.offset)
        errors = [
            SampleError(error.offset, error.sample_id, read_problem(error.problem))
            for error in result.sample_errors
        ]
        so_far = self._summary
        self._summary = replace(
            so_far,
            samples=so_far.samples + batch.samples,
            bytes=so_far.bytes + batch.bytes,
            rejected=so_far.rejected + len(errors),
            duplicates=so_far.duplicates + (batch.samples if result.duplicate else 0),
            next_offset=batch.offset + batch.samples,
            errors=(*so_far.errors, *errors[: ERRORS_KEPT - len(so_far.errors)]),
        )
        for error in errors if self._reject else ():
            self._reject(error)  # type: ignore[misc]  # not None here
        if self._progress:
            self._progress(self._summary)


def _request(batch: Batch[Messages]) -> pb.AppendSamplesRequest:
    first = batch.message[0]
    if isinstance(first, media_pb2.MediaPiece):
        return pb.AppendSamplesRequest(piece=first)
    samples = [message for message in batch.message if isinstance(message, media_pb2.Sample)]
    return pb.AppendSamplesRequest(batch=pb.SampleBatch(offset=batch.offset, samples=samples))


def _reaches(piece: media_pb2.MediaPiece, known: Mapping[str, int]) -> bool:
    """Whether a chunk was there before this append began."""
    end = piece.position + len(piece.chunk)
    return piece.WhichOneof("step") == "chunk" and end <= known.get(piece.media_id, 0)


async def _first(*work: Coroutine[Any, Any, None]) -> None:
    """Run all until one ends, and stop the others."""
    tasks = [asyncio.create_task(one) for one in work]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            task.result()
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

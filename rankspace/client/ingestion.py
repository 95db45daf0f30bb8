"""Streams: make them, append to them, read them."""

import asyncio
import os
import socket
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import aclosing
from dataclasses import replace

from rankspace.client.appending import Append, AppendSummary, Progress, Reject
from rankspace.client.connection import Connection, Patience
from rankspace.client.feed import Feed, Source
from rankspace.errors import InvalidInput, NotBuilt, RankspaceError
from rankspace.media.sample import Sample
from rankspace.store.entries import FOR_EVER, Refusal, Rejected, Retention, Stream, StreamChange
from rankspace.v1 import ingestion_pb2 as pb
from rankspace.v1.ingestion_pb2_grpc import IngestionServiceStub
from rankspace.wire.ingestion import (
    Filter,
    read_reject,
    read_stored,
    read_stream,
    write_change,
    write_filter,
    write_retention,
)
from rankspace.wire.media import read_sample

EVERYTHING = Filter(rejected=True)


class Ingestion:
    """The calls of IngestionService."""

    _connection: Connection

    async def create_stream(
        self,
        stream: str,
        description: str = "",
        labels: Mapping[str, str] | None = None,
        retention: Retention = FOR_EVER,
        strip_metadata: bool = False,
    ) -> Stream:
        """Make a stream; AlreadyExists if the name is taken.

        `strip_metadata` has its media stored without what they tell of their makers.
        """
        request = pb.CreateStreamRequest(
            stream_id=_id(stream),
            description=description,
            labels=labels,
            retention=write_retention(retention),
            strip_metadata=strip_metadata,
        )
        response = await self._connection.call(
            IngestionServiceStub(self._connection.channel).CreateStream, request
        )
        return read_stream(response.stream)

    async def get_stream(self, stream: str) -> Stream:
        """One stream and its figures."""
        request = pb.GetStreamRequest(name=_name(stream))
        return read_stream(
            (
                await self._connection.call(
                    IngestionServiceStub(self._connection.channel).GetStream, request
                )
            ).stream
        )

    async def list_streams(self) -> AsyncIterator[Stream]:
        """All streams by name."""
        request = pb.ListStreamsRequest()
        method = IngestionServiceStub(self._connection.channel).ListStreams
        async for page in self._connection.pages(method, request):
            for message in page.streams:
                yield read_stream(message)

    async def update_stream(
        self,
        stream: str,
        description: str | None = None,
        labels: Mapping[str, str] | None = None,
        retention: Retention | None = None,
    ) -> Stream:
        """Change what a stream says of itself and how long it keeps samples; None stays."""
        change = StreamChange(description, labels, retention)
        response = await self._connection.call(
            IngestionServiceStub(self._connection.channel).UpdateStream,
            write_change(_id(stream), change),
        )
        return read_stream(response.stream)

    async def finalize_stream(self, stream: str) -> Stream:
        """Close a stream for good; what is in it stays."""
        request = pb.FinalizeStreamRequest(name=_name(stream))
        response = await self._connection.call(
            IngestionServiceStub(self._connection.channel).FinalizeStream, request
        )
        return read_stream(response.stream)

    async def delete_stream(self, stream: str) -> None:
        """Remove a stream and its samples."""
        request = pb.DeleteStreamRequest(name=_name(stream))
        await self._connection.call(
            IngestionServiceStub(self._connection.channel).DeleteStream, request
        )

    async def append(
        self,
        stream: str,
        samples: Source,
        *,
        offset: int | None = None,
        take_over: bool = False,
        progress: Progress | None = None,
        rejected: Reject | None = None,
    ) -> AppendSummary:
        """Append samples, each exactly once, whatever happens to the connection or the server.

        `offset` is where the first sample lands: None is the stream's end. To go on with an input
        after this process itself died, give all of it again with the offset it had: what is there
        already is recognised by its content. `take_over` fences every other writer off. A sample
        that the server refuses keeps its offset and comes back in the summary. A plain iterable is
        drawn from on the event loop; if making samples takes long, give an asynchronous one. Parts
        may be `Growing`: their bytes are sent as they come.
        """
        feed = Feed(offset)
        pouring = asyncio.create_task(feed.pour(samples))
        try:
            return await self._append(stream, feed, offset, take_over, (progress, rejected))
        finally:
            pouring.cancel()
            await asyncio.gather(pouring, return_exceptions=True)

    async def _append(
        self,
        stream: str,
        feed: Feed,
        offset: int | None,
        take_over: bool,
        callbacks: tuple[Progress | None, Reject | None],
    ) -> AppendSummary:
        setup = pb.AppendSetup(
            stream=_name(stream),
            client_id=f"{socket.gethostname()[:100]}-{os.getpid()}",
            take_over=take_over,
        )
        return await Append(self._connection, setup, feed, offset, callbacks).run()

    async def read(
        self,
        stream: str,
        offset: int = 0,
        *,
        limit: int = 0,
        follow: bool = False,
        wanted: Filter = EVERYTHING,
    ) -> AsyncIterator[tuple[int, Sample]]:
        """Samples and their offsets, reconnecting as needed; `follow` waits for more to come."""
        samples = replace(wanted, rejected=False)
        entries = self.read_entries(stream, offset, limit=limit, follow=follow, wanted=samples)
        async with aclosing(entries):
            async for at, entry in entries:
                if isinstance(entry, Sample):
                    yield at, entry

    async def read_entries(
        self,
        stream: str,
        offset: int = 0,
        *,
        limit: int = 0,
        follow: bool = False,
        wanted: Filter = EVERYTHING,
    ) -> AsyncGenerator[tuple[int, Sample | Rejected], None]:
        """Whatever lies at each offset: samples and what is left of refused ones."""
        request = pb.ReadSamplesRequest(
            stream=_name(stream),
            offset=offset,
            limit=limit,
            follow=follow,
            filter=write_filter(wanted),
        )
        patience = Patience(self._connection.patience_s)
        while True:
            try:
                async for entry in self._read(request):
                    patience.renew()
                    yield entry
            except RankspaceError as error:
                await patience.wait(error)
            else:
                return

    async def list_rejects(self, stream: str) -> AsyncIterator[Refusal]:
        """The refused samples of a stream that are kept, the oldest first."""
        request = pb.ListRejectsRequest(stream=_name(stream))
        method = IngestionServiceStub(self._connection.channel).ListRejects
        async for page in self._connection.pages(method, request):
            for message in page.rejects:
                yield read_reject(message)

    async def get_reject(self, stream: str, offset: int) -> tuple[Refusal, Sample | None]:
        """A refused sample as it was sent; None instead of it where no sample can be read."""
        request = pb.GetRejectRequest(stream=_name(stream), offset=offset)
        response = await self._connection.call(
            IngestionServiceStub(self._connection.channel).GetReject, request
        )
        try:
            return read_reject(response.reject), read_sample(response.sample)
        except (InvalidInput, NotBuilt):
            return read_reject(response.reject), None

    async def retry_reject(self, stream: str, offset: int) -> int:
        """Append a refused sample anew at the end, by the limits of today; where it is now."""
        request = pb.RetryRejectRequest(stream=_name(stream), offset=offset)
        response = await self._connection.call(
            IngestionServiceStub(self._connection.channel).RetryReject, request
        )
        return response.offset

    async def _read(
        self, request: pb.ReadSamplesRequest
    ) -> AsyncIterator[tuple[int, Sample | Rejected]]:
        """Read on one connection; `request` moves along, so that it can be asked again."""
        with self._connection.failures():
            call = IngestionServiceStub(self._connection.channel).ReadSamples(
                request, metadata=self._connection.metadata
            )
            try:
                async for response in call:
                    for message in response.samples:
                        request.offset = message.offset + 1
                        if request.limit:
                            request.limit -= 1
                        yield read_stored(message)
                    request.offset = response.next_offset
            finally:
                call.cancel()


def _id(stream: str) -> str:
    return stream.removeprefix("streams/")


def _name(stream: str) -> str:
    return f"streams/{_id(stream)}"

"""One connection to each kind of server; `put` returns when the server has acknowledged.

A gRPC connection has a channel and a socket of its own and keeps several batches on their way, at
most what the server gives credit for. A Redis or PostgreSQL connection does what its client does:
a pipeline of XADD, or executemany and a commit, one after the other.
"""

import asyncio
from collections import deque
from typing import Any, Protocol

import grpc
import psycopg

from benchmarks._ingest_messages import Batch, setup
from rankspace.v1 import ingestion_pb2 as pb
from rankspace.v1.ingestion_pb2_grpc import IngestionServiceStub

APPEND = "/rankspace.v1.IngestionService/AppendSamples"
BACK = "/bare/All"
OPTIONS = [
    ("grpc.use_local_subchannel_pool", 1),  # a socket of its own
    ("grpc.max_receive_message_length", 32 << 20),
]


class Refused(Exception):
    """The server did not take a batch."""


class Lane(Protocol):
    """One connection."""

    window: int
    """Batches it may have on their way."""

    async def open(self, address: str, stream: str) -> None:
        """Connect."""

    async def put(self, batch: Batch) -> None:
        """Send a batch; return when it is acknowledged."""

    async def close(self) -> None:
        """Disconnect."""


class Grpc:
    """A call that stays open, to the bare server or to ours."""

    def __init__(self, window: int, ours: bool, back: bool = False) -> None:
        self.window = window
        self._ours = ours
        self._back = back
        self._waiting: deque[asyncio.Future[Any]] = deque()
        self._turn = asyncio.Lock()
        self._offset = 0

    async def open(self, address: str, stream: str) -> None:
        self._channel = grpc.aio.insecure_channel(address, options=OPTIONS)
        read = None if self._back else pb.AppendSamplesResponse.FromString
        # Messages are bytes already: the client's part is the same for all, and small.
        method: Any = self._channel.stream_stream(BACK if self._back else APPEND, None, read)
        self._call = method()
        if self._ours:
            stub: Any = IngestionServiceStub(self._channel)
            try:
                await stub.CreateStream(pb.CreateStreamRequest(stream_id=stream))
            except grpc.aio.AioRpcError as error:
                if error.code() != grpc.StatusCode.ALREADY_EXISTS:
                    raise
            await self._call.write(setup(stream))
            ack = (await self._call.read()).setup_ack
            self.window = min(self.window, ack.credits.batches)
            self._offset = ack.next_offset
        self._reader = asyncio.create_task(self._read())

    async def put(self, batch: Batch) -> None:
        answered: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        async with self._turn:
            message = batch.message(self._offset)
            self._offset += batch.samples
            self._waiting.append(answered)
            await self._call.write(message)
        answer = await answered
        if not self._back and not answer.HasField("result"):
            raise Refused(str(answer))

    async def close(self) -> None:
        await self._call.done_writing()
        await self._reader
        await self._channel.close()

    async def _read(self) -> None:
        try:
            while (answer := await self._call.read()) is not grpc.aio.EOF:
                self._waiting.popleft().set_result(answer)
        finally:
            for answered in self._waiting:
                answered.set_exception(Refused("the call ended before its last answer"))


class Redis:
    """A Redis stream."""

    window = 1

    async def open(self, address: str, stream: str) -> None:
        from redis.asyncio import Redis as Client

        self._stream = stream
        self._turn = asyncio.Lock()
        self._client = Client.from_url(f"redis://{address}", single_connection_client=True)

    async def put(self, batch: Batch) -> None:
        async with self._turn, self._client.pipeline(transaction=False) as pipeline:
            for name, modality, data in batch.rows():
                pipeline.xadd(self._stream, {"id": name, "modality": modality, "data": data})
            await pipeline.execute()

    async def close(self) -> None:
        await self._client.aclose()


class Postgres:
    """A table, a row a sample."""

    window = 1

    async def open(self, address: str, stream: str) -> None:
        self._turn = asyncio.Lock()
        self._offset = 0
        self._connection = await psycopg.AsyncConnection.connect(address)
        self._stream = stream

    async def put(self, batch: Batch) -> None:
        async with self._turn, self._connection.cursor() as cursor:
            rows = [(self._stream, self._offset + at, *row) for at, row in enumerate(batch.rows())]
            self._offset += batch.samples
            await cursor.executemany(INSERT, rows)
            await self._connection.commit()

    async def close(self) -> None:
        await self._connection.close()


INSERT = "INSERT INTO samples VALUES (%s, %s, %s, %s, %b)"
TABLE = """
CREATE TABLE IF NOT EXISTS samples (
    stream text, position bigint, sample_id text, modality text, data bytea,
    PRIMARY KEY (stream, position)
)"""


async def emptied(contender: str, address: str) -> None:
    """Make room, and the table, before a run."""
    if contender == "postgres":
        async with await psycopg.AsyncConnection.connect(address, autocommit=True) as connection:
            await connection.execute(TABLE)
            await connection.execute("TRUNCATE samples")
    if contender == "redis":
        from redis.asyncio import Redis as Client

        async with Client.from_url(f"redis://{address}") as client:
            await client.flushall()

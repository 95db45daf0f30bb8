"""One call of AppendSamples: messages are read as credits allow, worked on in order and answered.

    requests ──▶ read ──▶ a task each, in their order ──▶ outbox ──▶ answers
                  │ waits for credit                        │
                  └────────────── given back ◀──────────────┘

What the next batches hold is judged while those before them are on their way to the disk, and they
follow without waiting: all that a call has sent may share one commit. Pieces that have come one
after the other go into one transaction. A message counts against the credits of its call until its
answer is written, and against what the server holds until it is stored.

A busy loop takes milliseconds to come round, so a batch is one task from its reading to its answer:
it goes on to be stored in the very step in which it is found to be in order.
"""

import asyncio
import time
from collections.abc import AsyncGenerator, Coroutine, Sequence
from itertools import takewhile
from typing import Any, TypeAlias, TypeVar

from rankspace.errors import InvalidInput, RankspaceError, Unreachable
from rankspace.store.growing import Grown
from rankspace.v1 import ingestion_pb2 as pb
from rankspace.wire import growing as wire_growing
from services.auth import caller
from services.draining import Draining
from services.engine import Streams
from services.errors import problem
from services.ingestion.answering import read_steps
from services.ingestion.batches import Batches
from services.ingestion.config import IngestionConfig
from services.ingestion.credits import Credits
from services.ingestion.room import Item, Requests, Room, Writer
from services.telemetry import appends, tracing
from services.telemetry.metrics import APPEND_SECONDS, CREDIT_BATCHES, CREDIT_BYTES

Responses: TypeAlias = list[pb.AppendSamplesResponse]
Found = TypeVar("Found")
Turn: TypeAlias = "asyncio.Future[None]"
"""Done once all messages up to one have been handed to the engine, or need not be."""


class Appending:
    """One call, after its setup."""

    def __init__(
        self, engine: Streams, config: IngestionConfig, room: Room, writer: Writer
    ) -> None:
        self._engine = engine
        self._config = config
        self._room = room
        self._writer = writer
        self._batches = Batches(engine, config, room, writer)
        self._credits = Credits(config.credit_bytes, config.credit_batches)
        self._under_way: dict[asyncio.Task[Responses], list[Item]] = {}
        """In the order of the messages."""

        self._turn = _ready(None)
        """Of the newest message."""

        self._pieces: asyncio.Task[Responses] | None = None
        """Pieces that nothing else has followed, and that are not being stored yet."""

        self._outbox: asyncio.Queue[tuple[asyncio.Future[Responses], int, Item | None] | None]
        self._outbox = asyncio.Queue()
        """Where each answer comes from, and its place there."""

    async def answers(
        self, requests: Requests, draining: Draining
    ) -> AsyncGenerator[pb.AppendSamplesResponse, None]:
        """One answer to every message, in order."""
        telling = asyncio.create_task(self._tell(draining))
        reading = asyncio.create_task(self._read(requests))
        reading.add_done_callback(lambda _: self._outbox.put_nowait(None))
        number = 0
        try:
            while (coming := await self._outbox.get()) is not None:
                answer, place, item = coming
                response = (await answer)[place]
                if item is None:
                    yield response
                    continue
                response.batch = number
                number += 1
                with tracing.within(item.span):
                    ack = tracing.begin("ack")
                yield response
                tracing.end(ack)
                tracing.end(item.span)
                self._credits.give(item.size)
            await reading
        finally:
            await _ended(telling, reading)
            await _ended(*self._under_way)

    async def _tell(self, draining: Draining) -> None:
        """Say it when the server is about to stop."""
        word = pb.AppendSamplesResponse(go_away=await draining.begun())
        self._outbox.put_nowait((_ready([word]), 0, None))

    async def _read(self, requests: Requests) -> None:
        """Read a message only when those before it leave room for one more."""
        async for request in requests:
            size = max(requests.bytes, 1)
            await self._credits.take(size)
            await self._room.held.take(size)
            CREDIT_BATCHES.add(1)
            CREDIT_BYTES.add(size)
            self._begin(Item(request, size, span=tracing.begin("append", bytes=size)))

    def _begin(self, item: Item) -> None:
        """Give a message its task, or a piece that of the pieces before it."""
        if item.what == "piece" and self._pieces is not None:
            run = self._under_way[self._pieces]
            run.append(item)
            self._outbox.put_nowait((self._pieces, len(run) - 1, item))
            return
        run = [item]
        before, self._turn = self._turn, asyncio.get_running_loop().create_future()
        if item.what == "batch":
            doing: Coroutine[None, None, Responses] = self._batch(item, before, self._turn)
        else:
            doing = self._others(run, before, self._turn)
        with tracing.within(item.span):
            task = asyncio.create_task(doing)
        self._pieces = task if item.what == "piece" else None
        self._under_way[task] = run
        task.add_done_callback(self._over)
        self._outbox.put_nowait((task, 0, item))

    def _over(self, task: "asyncio.Task[Responses]") -> None:
        """Messages are held no longer."""
        for item in self._under_way.pop(task):
            self._room.held.give(item.size)
            CREDIT_BATCHES.add(-1)
            CREDIT_BYTES.add(-item.size)
            APPEND_SECONDS.see(time.monotonic() - item.read_at)
        if not task.cancelled():
            task.exception()  # who asked may have gone

    async def _batch(self, item: Item, before: Turn, turn: Turn) -> Responses:
        """Judge a batch, and hand it to the engine after those before it.

        The engine stores what it is handed in the order of the calls.
        """
        try:
            admitted = await self._batches.admit(item)
            await _come(before)
            if admitted is None:  # it names media that have to be stored before
                await self._stored_before()
                return [await self._batches.append_grown(item)]
            _done(turn)
            return [await self._batches.append(item, admitted)]
        except Unreachable:
            raise  # whether it is stored is unknown: the client has to ask again
        except RankspaceError as error:
            await _come(before)
            _done(turn)
            return [await self._refused(error)]
        finally:
            _done(turn)

    async def _others(self, run: list[Item], before: Turn, turn: Turn) -> Responses:
        """Store pieces, all that have come until it is their turn; or refuse another message."""
        try:
            await _come(before)
            await self._stored_before()
            if self._pieces is asyncio.current_task():
                self._pieces = None
            match run[0].what:
                case "piece":
                    return await self._grow(run)
                case "setup":
                    error = "only the first message is a setup; open another call", "setup"
                case _:
                    error = "the message is empty; send a batch or a piece", "request"
            return [await self._refused(InvalidInput(*error))]
        finally:
            _done(turn)

    async def _refused(self, error: RankspaceError) -> pb.AppendSamplesResponse:
        """The answer tells where those before it leave the stream."""
        appends.refused(caller().tenant, error)
        await self._stored_before()
        return await self._error(error)

    async def _stored_before(self) -> None:
        """Wait for what was sent before the message of this task."""
        task = asyncio.current_task()
        if before := [*takewhile(lambda other: other is not task, self._under_way)]:
            await asyncio.wait(before)

    async def _grow(self, run: Sequence[Item]) -> list[pb.AppendSamplesResponse]:
        """Pieces that came one after the other, in one transaction."""
        writer = self._writer
        asked = read_steps([item.message() for item in run], self._config)
        steps = [step for step in asked if not isinstance(step, RankspaceError)]
        try:
            size = sum(item.size for item in run)
            await self._room.quotas.spend(writer.stream, 0, lambda: size)
            done: Sequence[Grown | RankspaceError] = await self._engine.grow(
                writer.stream, steps, writer.epoch, writer.durability
            )
        except Unreachable:
            raise  # whether it is stored is unknown: the client has to ask again
        except RankspaceError as error:
            done = [error] * len(steps)
        stored = iter(done)
        answers = [step if isinstance(step, RankspaceError) else next(stored) for step in asked]
        return [await self._grown(answer) for answer in answers]

    async def _grown(self, answer: Grown | RankspaceError) -> pb.AppendSamplesResponse:
        if isinstance(answer, RankspaceError):
            return await self._error(answer)
        return pb.AppendSamplesResponse(piece=wire_growing.write_state(answer))

    async def _error(self, error: RankspaceError) -> pb.AppendSamplesResponse:
        stream = await self._engine.stream(self._writer.stream)
        return pb.AppendSamplesResponse(error=problem(error), next_offset=stream.next_offset)


def _ready(result: Found) -> "asyncio.Future[Found]":
    """What is there already."""
    future: asyncio.Future[Found] = asyncio.get_running_loop().create_future()
    future.set_result(result)
    return future


async def _come(turn: Turn) -> None:
    if not turn.done():
        await asyncio.wait((turn,))  # it is others' too: it is not cancelled with who waits


def _done(turn: Turn) -> None:
    if not turn.done():
        turn.set_result(None)


async def _ended(*tasks: "asyncio.Task[Any]") -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)

"""One call of AppendSamples: messages are read as credits allow, worked on in order and answered.

    requests ──▶ read ──▶ inbox ──▶ work ──▶ outbox ──▶ answers
                  │ waits for credit            │
                  └────────── given back ◀──────┘

What the next batches hold is judged while those before them are on their way to the disk, and they
follow without waiting: all that a call has sent may share one commit. Pieces that have come one
after the other go into one transaction. A message counts against the credits of its call until its
answer is written, and against what the server holds until it is stored.
"""

import asyncio
import time
from collections import deque
from collections.abc import AsyncGenerator, Collection, Sequence
from typing import Any, TypeAlias

from rankspace.errors import InvalidInput, RankspaceError, Unreachable
from rankspace.store.growing import Grown
from rankspace.v1 import ingestion_pb2 as pb
from rankspace.wire import growing as wire_growing
from services.auth import caller
from services.draining import Draining
from services.engine import Streams
from services.errors import problem
from services.ingestion.admission import Admitted
from services.ingestion.answering import read_steps
from services.ingestion.batches import Batches
from services.ingestion.config import IngestionConfig
from services.ingestion.credits import Credits
from services.ingestion.room import Item, Requests, Room, Writer
from services.telemetry import appends, tracing
from services.telemetry.metrics import APPEND_SECONDS, CREDIT_BATCHES, CREDIT_BYTES

Coming: TypeAlias = "asyncio.Future[pb.AppendSamplesResponse]"


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
        self._inbox: deque[Item] = deque()
        self._news = asyncio.Event()
        self._under_way: set[asyncio.Task[pb.AppendSamplesResponse]] = set()
        self._all_read = False
        self._outbox: asyncio.Queue[tuple[Coming, Item | None] | None] = asyncio.Queue()

    async def answers(
        self, requests: Requests, draining: Draining
    ) -> AsyncGenerator[pb.AppendSamplesResponse, None]:
        """One answer to every message, in order."""
        telling = asyncio.create_task(self._tell(draining))
        reading = asyncio.create_task(self._read(requests))
        working = asyncio.create_task(self._work())
        reading.add_done_callback(self._end_of_input)
        working.add_done_callback(lambda _: self._outbox.put_nowait(None))
        number = 0
        try:
            while (answer := await self._outbox.get()) is not None:
                coming, item = answer
                response = await coming
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
            await asyncio.gather(working, reading)
        finally:
            await _ended(telling, reading, working)
            await _ended(*self._under_way)
            while self._inbox:
                await self._drop(self._inbox.popleft())

    async def _tell(self, draining: Draining) -> None:
        """Say it when the server is about to stop."""
        word = pb.AppendSamplesResponse(go_away=await draining.begun())
        self._outbox.put_nowait((_ready(word), None))

    async def _read(self, requests: Requests) -> None:
        """Read a message only when those before it leave room for one more."""
        async for request in requests:
            size = max(requests.bytes, 1)
            await self._credits.take(size)
            await self._room.held.take(size)
            CREDIT_BATCHES.add(1)
            CREDIT_BYTES.add(size)
            item = Item(request, size, span=tracing.begin("append", bytes=size))
            if item.what == "batch":
                with tracing.within(item.span):
                    item.admitting = asyncio.create_task(self._batches.admit(item))
            self._inbox.append(item)
            self._news.set()

    def _end_of_input(self, _: object) -> None:
        self._all_read = True
        self._news.set()

    async def _work(self) -> None:
        """Store what was read, in its order."""
        while run := await self._run():
            if run[0].admitting is not None and await self._judged(run[0], run[0].admitting):
                self._begin(run[0])
                continue
            try:
                if self._under_way:
                    await asyncio.wait(self._under_way)
                if run[0].what == "piece":
                    responses = await self._grow(run)
                else:
                    with tracing.within(run[0].span):
                        responses = [await self._answer(run[0])]
            finally:
                for item in run:
                    await self._drop(item)
            for item, response in zip(run, responses, strict=True):
                self._outbox.put_nowait((_ready(response), item))
                APPEND_SECONDS.see(time.monotonic() - item.read_at)

    async def _judged(self, item: Item, admitting: "asyncio.Task[Admitted | None]") -> bool:
        """Wait until a batch is judged; False: it names media that have to be stored before."""
        if not admitting.done():
            try:
                await asyncio.wait((admitting,))
            except asyncio.CancelledError:
                await self._drop(item)
                raise
        return admitting.exception() is not None or admitting.result() is not None

    def _begin(self, item: Item) -> None:
        """Hand a batch to the engine, after those before it, and do not wait for it.

        The engine stores what it is handed in the order of the calls.
        """

        def over(task: "asyncio.Task[pb.AppendSamplesResponse]") -> None:
            self._under_way.discard(task)
            self._free(item)
            if not task.cancelled():
                task.exception()  # who asked may have gone
            APPEND_SECONDS.see(time.monotonic() - item.read_at)

        with tracing.within(item.span):
            task = asyncio.create_task(self._answer(item, set(self._under_way)))
        self._under_way.add(task)
        task.add_done_callback(over)
        self._outbox.put_nowait((task, item))

    async def _run(self) -> list[Item]:
        """The next message, and the pieces after a piece; nothing at the end."""
        while not self._inbox:
            if self._all_read:
                return []
            self._news.clear()
            await self._news.wait()
        run = [self._inbox.popleft()]
        while self._inbox and all(item.what == "piece" for item in (run[-1], self._inbox[0])):
            run.append(self._inbox.popleft())
        return run

    async def _drop(self, item: Item) -> None:
        """A message is held no longer."""
        if item.admitting is not None:
            await _ended(item.admitting)
        self._free(item)

    def _free(self, item: Item) -> None:
        self._room.held.give(item.size)
        CREDIT_BATCHES.add(-1)
        CREDIT_BYTES.add(-item.size)

    async def _answer(
        self, item: Item, before: Collection["asyncio.Task[Any]"] = ()
    ) -> pb.AppendSamplesResponse:
        try:
            match item.what:
                case "batch":
                    admitted = await item.admitting if item.admitting else None
                    if admitted is None:
                        return await self._batches.append_grown(item)
                    return await self._batches.append(item, admitted)
                case "setup":
                    raise InvalidInput(
                        "only the first message is a setup; open another call", "setup"
                    )
            raise InvalidInput("the message is empty; send a batch or a piece", "request")
        except Unreachable:
            raise  # whether it is stored is unknown: the client has to ask again
        except RankspaceError as error:
            appends.refused(caller().tenant, error)
            if before:  # the answer tells where they leave the stream
                await asyncio.wait(before)
            return await self._error(error)

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


def _ready(response: pb.AppendSamplesResponse) -> Coming:
    """An answer that is there already."""
    answer: Coming = asyncio.get_running_loop().create_future()
    answer.set_result(response)
    return answer


async def _ended(*tasks: "asyncio.Task[Any]") -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)

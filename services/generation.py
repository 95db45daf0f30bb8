"""GenerationService: read the wire, ask the engine, write the wire.

A session listens while it answers, or nobody could interrupt it: one task takes messages off the
wire and queues them, the call itself works the queue off. The queue is short, so a client that
sends faster than the model reads is held up by gRPC's own flow control.
"""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any

from grpc.aio import ServicerContext

from rankspace.errors import InvalidInput, NotBuilt, RankspaceError, Unreachable
from rankspace.generation.request import Ask, Interrupt
from rankspace.media.sample import Part
from rankspace.v1 import generation_pb2 as pb
from rankspace.v1 import generation_pb2_grpc as pb_grpc
from rankspace.v1 import media_pb2
from rankspace.v1.problem_pb2 import GoAway
from rankspace.wire import generation as wire
from rankspace.wire.media import read_part
from rankspace.wire.names import write_reference
from services.auth import caller
from services.draining import STOPPING, Draining
from services.engine import Answers, Session
from services.errors import problem
from services.telemetry.metrics import ANSWER_SYMBOLS

Context = ServicerContext[Any, Any]
Requests = AsyncIterator[pb.GenerateRequest]
QUEUE = 8
"""Messages of a session that wait for the model."""

PARTS_MAX = 16


class Generation(pb_grpc.GenerationServiceServicer):
    """Answers of a trained model."""

    def __init__(self, engine: Answers, message_bytes_max: int, draining: Draining) -> None:
        self._engine = engine
        self._draining = draining
        self._message_bytes_max = message_bytes_max

    async def Generate(
        self, requests: Requests, _context: Context
    ) -> AsyncIterator[pb.GenerateResponse]:
        first = await anext(aiter(requests), pb.GenerateRequest())
        if not first.HasField("setup"):
            raise InvalidInput("the first message is the setup; send it and wait", "setup")
        session = await self._engine.open(wire.read_setup(first.setup))
        try:
            yield self._complete(session)
            async with aclosing(Conversation(session, self._draining).hold(requests)) as responses:
                async for response in responses:
                    yield response
        finally:
            await session.close()

    def _complete(self, session: Session) -> pb.GenerateResponse:
        complete = pb.SetupComplete(
            session_id=session.session_id,
            model_version=write_reference(session.model),
            message_bytes_max=self._message_bytes_max,
        )
        return pb.GenerateResponse(setup_complete=complete)

    async def Embed(self, request: pb.EmbedRequest, _context: Context) -> pb.EmbedResponse:
        embedding = await self._engine.embed(request.model or "default", _parts(request.parts))
        return wire.write_embedding(embedding)

    async def Score(self, request: pb.ScoreRequest, _context: Context) -> pb.ScoreResponse:
        scores = await self._engine.score(request.model or "default", _parts(request.parts))
        return wire.write_scores(scores)

    async def Feedback(
        self, _request: pb.FeedbackRequest, _context: Context
    ) -> pb.FeedbackResponse:
        raise NotBuilt("feedback is not taken yet, and nothing of it was kept; append samples")


@dataclass(frozen=True, slots=True)
class Unread:
    """A message that says nothing."""

    error: RankspaceError
    asked: bool
    """It was to end its turn."""


Said = Part | Ask | Unread | GoAway


class Conversation:
    """The turns of one session: to each its answer, or the first refusal of anything in it.

    When the server drains, the session ends after the turn that is being said.
    """

    def __init__(self, session: Session, draining: Draining) -> None:
        self._session = session
        self._draining = draining
        self._queue: asyncio.Queue[Said] = asyncio.Queue(QUEUE)
        self._refused: RankspaceError | None = None  # of the turn that is being said
        self._open = False  # a turn is being said
        self._leaving = False
        self._answered = 0
        self._asked = 0
        self._stopped = 0  # asks up to this one were interrupted, begun or not

    async def hold(self, requests: Requests) -> AsyncGenerator[pb.GenerateResponse, None]:
        """Answer until the client has said all."""
        listening = asyncio.create_task(self._listen(requests))
        leaving = asyncio.create_task(self._leave())
        try:
            while (said := await self._next(listening)) is not None:
                async with aclosing(self._respond(said)) as responses:
                    async for response in responses:
                        yield response
                if self._leaving and not self._open and self._queue.empty():
                    raise Unreachable(STOPPING)
            if self._refused is not None:
                yield pb.GenerateResponse(error=problem(self._refused))
        finally:
            listening.cancel()
            leaving.cancel()

    async def _leave(self) -> None:
        await self._queue.put(await self._draining.begun())

    async def _listen(self, requests: Requests) -> None:
        async for message in requests:
            await self._take(message)

    async def _next(self, listening: asyncio.Task[None]) -> Said | None:
        """What was said next; None when the client has said all."""
        getting = asyncio.create_task(self._queue.get())
        try:
            await asyncio.wait((getting, listening), return_when=asyncio.FIRST_COMPLETED)
            if getting.done():
                return getting.result()
        finally:
            getting.cancel()
        if not self._queue.empty():
            return self._queue.get_nowait()
        await listening  # raises what kept it from listening on
        return None

    async def _take(self, message: pb.GenerateRequest) -> None:
        asked = message.HasField("ask")
        self._asked += asked
        try:
            turn = wire.read_turn(message)
        except RankspaceError as error:
            await self._queue.put(Unread(error, asked))
            return
        if isinstance(turn, Interrupt):
            self._stopped = self._asked
            self._session.interrupt()
            return
        await self._queue.put(turn)

    async def _respond(self, said: Said) -> AsyncGenerator[pb.GenerateResponse, None]:
        if isinstance(said, GoAway):
            self._leaving = True
            yield pb.GenerateResponse(go_away=said)
            return
        await self._hear(said)
        self._open = not (isinstance(said, Ask) or (isinstance(said, Unread) and said.asked))
        if not self._open:
            self._answered += 1
            async with aclosing(self._answer(said)) as responses:
                async for response in responses:
                    yield response

    async def _hear(self, said: Said) -> None:
        """Take a part; after a refusal the rest of the turn is passed over."""
        if self._refused is not None:
            return
        if isinstance(said, Unread):
            self._refused = said.error
        elif isinstance(said, Part):
            try:
                await self._session.hear(said)
            except RankspaceError as error:
                self._refused = error

    async def _answer(self, said: Said) -> AsyncGenerator[pb.GenerateResponse, None]:
        refused, self._refused = self._refused, None
        try:
            if refused is not None:
                raise refused
            if isinstance(said, Ask):
                async with aclosing(self._session.answer(said)) as deltas:
                    async for delta in deltas:
                        if delta.usage:
                            ANSWER_SYMBOLS.add(delta.usage.answer_symbols, caller().tenant)
                        yield pb.GenerateResponse(delta=wire.write_delta(delta))
                        if self._answered <= self._stopped:
                            self._session.interrupt()
        except RankspaceError as error:
            yield pb.GenerateResponse(error=problem(error))


def _parts(messages: Sequence[media_pb2.Part]) -> tuple[Part, ...]:
    if not 0 < len(messages) <= PARTS_MAX:
        raise InvalidInput(f"send 1 to {PARTS_MAX} parts", "parts")
    return tuple(read_part(message, f"parts[{at}]") for at, message in enumerate(messages))

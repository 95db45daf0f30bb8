"""Answers of a trained model: sessions of several turns, single questions, vectors and scores."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from types import TracebackType
from typing import Any

import grpc

from rankspace.client.connection import Connection
from rankspace.errors import MalformedMedia, Unreachable
from rankspace.generation.request import (
    Ask,
    Delta,
    Embedding,
    Interrupt,
    Sampling,
    Scores,
    SessionConfig,
    Target,
    Trace,
    Turn,
    Usage,
)
from rankspace.media.sample import Modality, Part
from rankspace.v1 import generation_pb2 as pb
from rankspace.v1.generation_pb2_grpc import GenerationServiceStub
from rankspace.wire.generation import (
    read_delta,
    read_embedding,
    read_scores,
    write_setup,
    write_turn,
)
from rankspace.wire.media import write_part
from rankspace.wire.names import read_version
from rankspace.wire.problems import read_problem

Said = Part | str
"""A part; a plain string is text without a role."""

DEFAULT = Sampling()


@dataclass(frozen=True, slots=True)
class Answer:
    """A whole answer."""

    modality: Modality
    role: str
    encoding: str
    data: bytes
    """The media: UTF-8 text, a file, or raw PCM."""

    traces: tuple[Trace, ...]
    usage: Usage
    model: str
    """The version that answered, as name@version."""

    @property
    def text(self) -> str:
        """A text answer; a character that the answer's end cut in two is replaced."""
        if self.modality != "text":
            raise MalformedMedia(f"the answer is {self.modality}, not text; use `data`")
        return self.data.decode("utf-8", "replace")

    @property
    def wav(self) -> bytes:
        """A sound answer as a WAV file of known length, also where it came as raw PCM."""
        if self.encoding not in ("wav", "pcm_s16le"):
            raise MalformedMedia(f"the answer is {self.encoding or self.modality}, not sound")
        from rankspace.media.encode import wav_header  # brings av; most answers need none

        pcm = _pcm(self.data) if self.encoding == "wav" else self.data
        return wav_header(samples=len(pcm) // 2) + pcm


class Session:
    """One conversation. One turn at a time; `interrupt` may come in the midst of an answer.

    What is refused of a turn, the question or a part, is raised by `ask`; the session goes on, and
    the parts before it stay said. To leave an answer before its end, ends the session.
    """

    def __init__(self, connection: Connection, config: SessionConfig) -> None:
        self._connection = connection
        self._config = config
        self._call: Any = None
        self.session_id = ""
        """The server's name for the session, once it is open."""
        self.model = ""
        """The version in use, as name@version, once the session is open."""

    async def __aenter__(self) -> "Session":
        with self._connection.failures():
            stub = GenerationServiceStub(self._connection.channel)
            self._call = stub.Generate(metadata=self._connection.metadata)
            try:
                async with asyncio.timeout(self._connection.timeout_s):
                    await self._call.write(pb.GenerateRequest(setup=write_setup(self._config)))
                    opened = (await self._receive()).setup_complete
            except TimeoutError as error:
                raise Unreachable(f"{self._connection.target} does not answer") from error
        self.session_id = opened.session_id
        self.model = read_version(opened.model_version)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._call.cancel()

    async def send(self, part: Said) -> None:
        """Say the next part."""
        await self._send(Part("text", part.encode()) if isinstance(part, str) else part)

    async def ask(self, target: Target, sampling: Sampling = DEFAULT) -> AsyncIterator[Delta]:
        """End the turn: the answer as it is made, the last delta final."""
        final = False
        try:
            await self._send(Ask(target, sampling))
            with self._connection.failures():
                while not final:
                    response = await self._receive()
                    if response.HasField("delta"):
                        delta = read_delta(response.delta)
                        final = delta.final
                        yield delta
        except GeneratorExit:
            if not final:
                self._call.cancel()  # the next turn would be given the rest of this answer
            raise

    async def interrupt(self) -> None:
        """Stop the answer that is being made: draw on, its final delta comes next."""
        await self._send(Interrupt())

    async def _send(self, turn: Turn) -> None:
        if self._call.cancelled():
            raise Unreachable("the session is over; open another")
        with self._connection.failures():
            try:
                await self._call.write(write_turn(turn))
            except asyncio.InvalidStateError as error:
                await self._receive()  # raises what the call ended with
                raise Unreachable(f"{self._connection.target} ended the session") from error

    async def _receive(self) -> pb.GenerateResponse:
        response = await self._call.read()
        if response is grpc.aio.EOF:
            raise Unreachable(f"{self._connection.target} ended the session; open another")
        if response.HasField("error"):
            raise read_problem(response.error)
        return response


class Generation:
    """The calls of GenerationService."""

    _connection: Connection

    @asynccontextmanager
    async def session(self, model: str = "default", trace: bool = False) -> AsyncIterator[Session]:
        """Hold a conversation with a model: alias, name (its newest version) or name@version."""
        config = SessionConfig(model=model, trace=trace)
        async with Session(self._connection, config) as session:
            yield session

    async def generate(
        self,
        parts: Sequence[Said],
        target: Target,
        sampling: Sampling = DEFAULT,
        *,
        model: str = "default",
        trace: bool = False,
    ) -> AsyncIterator[Delta]:
        """Say parts and ask once: the answer as it is made, the last delta final."""
        async with self.session(model, trace) as session:
            for part in _listed(parts):
                await session.send(part)
            async for delta in session.ask(target, sampling):
                yield delta

    async def ask(
        self,
        parts: Sequence[Said],
        target: Target,
        sampling: Sampling = DEFAULT,
        *,
        model: str = "default",
        trace: bool = False,
    ) -> Answer:
        """Say parts and ask once: the whole answer."""
        async with self.session(model, trace) as session:
            for part in _listed(parts):
                await session.send(part)
            deltas = [delta async for delta in session.ask(target, sampling)]
            return collect(deltas, session.model)

    async def embed(self, parts: Sequence[Said], *, model: str = "default") -> Embedding:
        """One vector for all parts."""
        request = pb.EmbedRequest(model=model, parts=map(_written, _listed(parts)))
        stub = GenerationServiceStub(self._connection.channel)
        return read_embedding(await self._connection.call(stub.Embed, request))

    async def score(self, parts: Sequence[Said], *, model: str = "default") -> Scores:
        """How well each part is predicted after those before it, in bits."""
        request = pb.ScoreRequest(model=model, parts=map(_written, _listed(parts)))
        stub = GenerationServiceStub(self._connection.channel)
        return read_scores(await self._connection.call(stub.Score, request))


def collect(deltas: Sequence[Delta], model: str = "") -> Answer:
    """The answer that these deltas are: data append, but where one `replaces` what came before."""
    start = max((at for at, delta in enumerate(deltas) if delta.replaces), default=0)
    last = deltas[-1]
    if last.usage is None:
        raise Unreachable("the answer broke off; ask again")
    return Answer(
        modality=last.modality,
        role=last.role,
        encoding=last.encoding,
        data=b"".join(delta.data for delta in deltas[start:]),
        traces=tuple(trace for delta in deltas for trace in delta.traces),
        usage=last.usage,
        model=model,
    )


def _listed(parts: Sequence[Said] | Said) -> Sequence[Said]:
    return (parts,) if isinstance(parts, str | Part) else parts


def _written(part: Said) -> Any:
    return write_part(Part("text", part.encode()) if isinstance(part, str) else part)


def _pcm(streamed: bytes) -> bytes:
    """The samples of a WAV that was written before its length was known."""
    return streamed[streamed.index(b"data") + 8 :]

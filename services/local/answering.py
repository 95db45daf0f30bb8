"""Answers from the models of the catalogue, each loaded once and shared by its sessions.

A model thinks in threads of a small pool of its own: every part heard and every delta spoken is one
task, so sessions take turns and a slow one holds up nobody. torch is imported with the first model,
never before. A session keeps the version it was opened with; an alias that moves is seen by the
next.
"""

import asyncio
import secrets
from collections import OrderedDict
from collections.abc import AsyncGenerator, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, TypeVar

from rankspace.errors import Overloaded
from rankspace.generation.request import Ask, Delta, Embedding, Scores, SessionConfig
from rankspace.media.limits import Limits
from rankspace.media.sample import Part
from rankspace.store.entries import ModelVersion
from rankspace.store.models import Models
from services.local.config import EngineConfig
from services.sandbox.decoding import Sandbox
from services.telemetry.metrics import SESSIONS

if TYPE_CHECKING:
    from rankspace.generation.engine import Generator
    from rankspace.generation.session import Session

Found = TypeVar("Found")


class Answers:
    """What a trained model can be asked; see `services.engine.Answers`."""

    def __init__(self, models: Models, config: EngineConfig) -> None:
        self._models = models
        self._config = config
        self._pool = ThreadPoolExecutor(
            config.generation_workers, "generation", _keep_to, (config.cores_per_worker,)
        )
        self._sandbox = Sandbox(config.sandbox, Limits())
        self._loaded: OrderedDict[str, asyncio.Task[Generator]] = OrderedDict()
        self._open = 0

    async def open(self, config: SessionConfig) -> "LocalSession":
        if self._open >= self._config.sessions_max:
            raise Overloaded(f"{self._open} sessions are open, the most there may be", "", 1.0)
        self._open += 1
        SESSIONS.set(self._open)
        try:
            model, generator = await self._generator(config.model)
            session = await self.think(generator.session)
        except BaseException:
            self._open -= 1
            SESSIONS.set(self._open)
            raise
        return LocalSession(self, session, model, config.trace)

    async def embed(self, model: str, parts: Sequence[Part]) -> Embedding:
        version, generator = await self._generator(model)
        vector = await self.think(lambda: generator.embed(parts))
        return Embedding(tuple(vector.tolist()), version)

    async def score(self, model: str, parts: Sequence[Part]) -> Scores:
        version, generator = await self._generator(model)
        return Scores(tuple(await self.think(lambda: generator.score(parts))), version)

    async def think(self, task: Callable[[], Found]) -> Found:
        """Run a task where models think; even when cancelled, return only when it has ended."""
        thinking = asyncio.get_running_loop().run_in_executor(self._pool, task)
        try:
            return await asyncio.shield(thinking)
        except asyncio.CancelledError:
            await asyncio.wait((thinking,))  # a session must not hear and speak at once
            raise

    def released(self) -> None:
        """One session less is open."""
        self._open -= 1
        SESSIONS.set(self._open)

    def close(self) -> None:
        """Let what is being thought end; start nothing more."""
        self._pool.shutdown(cancel_futures=True)
        self._sandbox.close()

    async def _generator(self, reference: str) -> "tuple[str, Generator]":
        """The version that a reference means now, and its generator."""
        model = await asyncio.to_thread(self._models.resolve, reference)
        task = self._loaded.get(model.reference)
        if task is None or (task.done() and (task.cancelled() or task.exception() is not None)):
            task = asyncio.create_task(self.think(lambda: self._load(model)))
            self._loaded[model.reference] = task
        self._loaded.move_to_end(model.reference)
        while len(self._loaded) > self._config.models_max:
            self._loaded.popitem(last=False)
        return model.reference, await asyncio.shield(task)  # others may be waiting for it too

    def _load(self, model: ModelVersion) -> "Generator":
        from rankspace.generation.engine import Generator

        return Generator.load(self._models.verify(model), self._sandbox.decode)


class LocalSession:
    """One conversation; see `services.engine.Session`."""

    def __init__(self, answers: Answers, session: "Session", model: str, trace: bool) -> None:
        self._answers = answers
        self._session = session
        self._model = model
        self._trace = trace
        self._heard = 0
        self._interrupted = False
        self._closed = False
        self._id = f"session-{secrets.token_hex(8)}"

    @property
    def session_id(self) -> str:
        return self._id

    @property
    def model(self) -> str:
        return self._model

    async def hear(self, part: Part) -> None:
        await self._answers.think(lambda: self._session.hear(part))

    async def answer(self, ask: Ask) -> AsyncGenerator[Delta, None]:
        self._interrupted = False
        speaking = self._session.speak(ask.target, ask.sampling, self._trace)
        try:
            while (delta := await self._answers.think(lambda: next(speaking, None))) is not None:
                yield delta
                if self._interrupted and not delta.final:
                    yield await self._answers.think(lambda: self._session.stop(speaking))
                    return
        finally:
            await self._answers.think(speaking.close)

    def interrupt(self) -> None:
        self._interrupted = True

    async def close(self) -> None:
        if not self._closed:
            self._closed = True
            self._answers.released()


def _keep_to(cores: int) -> None:
    """Make the thread that calls this compute on so many cores; each thread has its own say.

    Products outside of torch have one say for the whole process. Left alone they take every core,
    and wait for it spinning: reading a small picture took three times as long.
    """
    import threadpoolctl
    import torch

    torch.set_num_threads(cores)
    threadpoolctl.threadpool_limits(cores, "blas")

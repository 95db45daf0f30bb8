"""Answers of models, as the caller of each call may ask for them."""

from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from dataclasses import replace

from rankspace.generation.request import Ask, Delta, Embedding, Scores, SessionConfig
from rankspace.media.sample import Part
from services.engine import Engine, Session
from services.tenancy.names import own_names


class TenantAnswers:
    """See `services.engine.Answers`."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    async def open(self, config: SessionConfig) -> "TenantSession":
        with own_names() as own:
            full = config.model_copy(update={"model": own.full(config.model, "setup.model")})
            session = await self._engine.open(full)
            return TenantSession(session, own.plain(session.model))

    async def embed(self, model: str, parts: Sequence[Part]) -> Embedding:
        with own_names() as own:
            found = await self._engine.embed(own.full(model, "model"), parts)
            return replace(found, model=own.plain(found.model))

    async def score(self, model: str, parts: Sequence[Part]) -> Scores:
        with own_names() as own:
            found = await self._engine.score(own.full(model, "model"), parts)
            return replace(found, model=own.plain(found.model))


class TenantSession:
    """See `services.engine.Session`."""

    def __init__(self, session: Session, model: str) -> None:
        self._session = session
        self._model = model

    @property
    def session_id(self) -> str:
        return self._session.session_id

    @property
    def model(self) -> str:
        return self._model

    async def hear(self, part: Part) -> None:
        with own_names():
            await self._session.hear(part)

    async def answer(self, ask: Ask) -> AsyncGenerator[Delta, None]:
        with own_names():
            async with aclosing(self._session.answer(ask)) as deltas:
                async for delta in deltas:
                    yield delta

    def interrupt(self) -> None:
        self._session.interrupt()

    async def close(self) -> None:
        await self._session.close()

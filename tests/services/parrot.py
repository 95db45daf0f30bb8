"""The real store and, in place of a model, a parrot: enough to try all that is outside.

The parrot answers with the bytes it heard, one a delta, in whatever modality it is asked for. Asked
for the role "refuse" it refuses, for "break" it fails as only a bug does, for "on" it never ends; a
part of the role "refuse" it refuses to hear.
"""

import asyncio
from collections.abc import AsyncGenerator, Mapping, Sequence

from rankspace.errors import MalformedMedia, NotFound, Overloaded
from rankspace.generation.request import Ask, Delta, Embedding, Scores, SessionConfig, Usage
from rankspace.media.sample import Part, Sample
from rankspace.store.access import Holding, StoredToken
from rankspace.store.drafts import Laid
from rankspace.store.entries import (
    ENDED,
    FOR_EVER,
    Alias,
    Appended,
    Durability,
    Job,
    JobEvent,
    ModelVersion,
    Page,
    Rejected,
    Retention,
    Stream,
    StreamChange,
    Wish,
)
from rankspace.store.store import Store
from rankspace.training.job import JobConfig
from services.engine import Window
from services.local.ingesting import Ingesting

POLL_S = 0.01


class Parrot:
    """The session."""

    session_id = "session-1"
    model = "parrot@1"

    def __init__(self) -> None:
        self.heard = b""
        self.parts = 0
        self.closed = asyncio.Event()
        self._stopped = False
        self._sequence = 0

    async def hear(self, part: Part) -> None:
        if part.role == "refuse":
            raise MalformedMedia("the parrot cannot hear this; say it again", "part.data")
        self.heard += part.data
        self.parts += 1

    async def answer(self, ask: Ask) -> AsyncGenerator[Delta, None]:
        self._stopped = False
        role = ask.target.role
        if role == "refuse":
            raise NotFound("the parrot has no such role; ask for another", "ask.target.role")
        said = 0
        while not self._stopped and (said < len(self.heard) or role == "on"):
            await asyncio.sleep(0)
            if role == "break":
                raise RuntimeError("/secret/path: a bug")
            yield self._delta(ask, self.heard[said : said + 1])
            said += 1
        usage = Usage(self.parts, len(self.heard), said, 0.0, 0.0, self._stopped)
        yield self._delta(ask, b"", usage)

    def _delta(self, ask: Ask, data: bytes, usage: Usage | None = None) -> Delta:
        self._sequence += 1
        final = usage is not None
        target = ask.target
        return Delta(self._sequence - 1, target.modality, target.role, "", data, final, usage=usage)

    def interrupt(self) -> None:
        self._stopped = True

    async def close(self) -> None:
        self.closed.set()


class ParrotEngine(Ingesting):
    """The store, in threads, and the parrot."""

    def __init__(self, store: Store, sessions_max: int = 64) -> None:
        self.store = self._store = store
        self.sessions: list[Parrot] = []
        self._sessions_max = sessions_max
        self._turn = asyncio.Lock()
        self.inline_bytes_max = store.config.inline_bytes_max

    async def create_stream(
        self,
        name: str,
        labels: Mapping[str, str],
        description: str,
        retention: Retention = FOR_EVER,
        strip_metadata: bool = False,
    ) -> Stream:
        return await self._with(
            lambda: self.store.log.create(name, labels, description, retention, strip_metadata)
        )

    async def update_stream(self, name: str, change: StreamChange) -> Stream:
        return await self._with(lambda: self.store.log.update(name, change))

    async def stream(self, name: str) -> Stream:
        return await asyncio.to_thread(self.store.log.get, name)

    async def streams(self, size: int, token: str, tenant: str | None = None) -> Page[Stream]:
        return await asyncio.to_thread(self.store.log.list, size, token, tenant)

    async def finalize_stream(self, name: str) -> Stream:
        return await asyncio.to_thread(self.store.log.finalize, name)

    async def delete_stream(self, name: str) -> None:
        await asyncio.to_thread(self.store.log.delete, name)

    async def claim(self, name: str, epoch: int) -> int:
        return await asyncio.to_thread(self.store.log.claim, name, epoch)

    async def append(
        self,
        stream: str,
        offset: int | None,
        samples: Sequence[Sample | Rejected] | Laid,
        epoch: int,
        durability: Durability = "synced",
    ) -> Appended:
        async with self._turn:  # in the order of the calls
            return await self._with(
                lambda: self.store.log.append(stream, offset, samples, epoch, durability)
            )

    async def read(
        self, stream: str, window: Window
    ) -> AsyncGenerator[tuple[int, Sample | Rejected], None]:
        at = window.start
        while True:
            head = await self.stream(stream)
            found = await asyncio.to_thread(self._records, stream, at, head.next_offset)
            for offset, entry in found:
                if window.takes(entry):
                    yield offset, entry
            at = head.next_offset
            if head.finalized or not window.follow:
                return
            await asyncio.sleep(POLL_S)

    def _records(self, stream: str, start: int, stop: int) -> list[tuple[int, Sample | Rejected]]:
        return list(self.store.log.records(stream, start, stop))

    async def create_job(self, config: JobConfig, request_id: str) -> Job:
        values = config.model_dump(mode="json")
        return await asyncio.to_thread(self.store.catalogue.jobs.create, request_id, values)

    async def job(self, job_id: str) -> Job:
        return await asyncio.to_thread(self.store.catalogue.jobs.get, job_id)

    async def jobs(self, size: int, token: str, tenant: str | None = None) -> Page[Job]:
        return await asyncio.to_thread(self.store.catalogue.jobs.list, size, token, None, tenant)

    async def wish(self, job_id: str, wish: Wish) -> Job:
        return await asyncio.to_thread(self.store.catalogue.jobs.set_wish, job_id, wish)

    async def watch(self, job_id: str, after: int) -> AsyncGenerator[JobEvent, None]:
        while True:
            job = await self.job(job_id)
            for event in await asyncio.to_thread(self.store.catalogue.jobs.events, job_id, after):
                yield event
                after = event.revision
            if job.state in ENDED:
                return
            await asyncio.sleep(POLL_S)

    async def models(self, size: int, token: str, tenant: str | None = None) -> Page[ModelVersion]:
        return await asyncio.to_thread(self.store.catalogue.models.list, size, token, tenant)

    async def versions(self, name: str, size: int, token: str) -> Page[ModelVersion]:
        return await asyncio.to_thread(self.store.catalogue.models.versions, name, size, token)

    async def model(self, reference: str) -> ModelVersion:
        return await asyncio.to_thread(self.store.catalogue.models.resolve, reference)

    async def aliases(self, size: int, token: str, tenant: str | None = None) -> Page[Alias]:
        return await asyncio.to_thread(self.store.catalogue.aliases.list, size, token, tenant)

    async def alias(self, alias: str) -> Alias:
        return await asyncio.to_thread(self.store.catalogue.aliases.get, alias)

    async def promote(self, alias: str, reference: str) -> Alias:
        model = await self.model(reference)
        promote = self.store.catalogue.aliases.promote
        return await asyncio.to_thread(promote, alias, model.reference)

    async def roll_back(self, alias: str) -> Alias:
        return await asyncio.to_thread(self.store.catalogue.aliases.roll_back, alias)

    async def open(self, config: SessionConfig) -> Parrot:
        if len(self.sessions) == self._sessions_max:
            raise Overloaded("all sessions are in use; try again soon", retry_after_s=2.0)
        self.sessions.append(Parrot())
        return self.sessions[-1]

    async def embed(self, model: str, parts: Sequence[Part]) -> Embedding:
        return Embedding((float(len(parts)),), "parrot@1")

    async def score(self, model: str, parts: Sequence[Part]) -> Scores:
        return Scores((), "parrot@1")

    async def tokens(self, digests: Sequence[str]) -> dict[str, StoredToken]:
        return await asyncio.to_thread(self.store.access.find, digests)

    async def has_tokens(self) -> bool:
        return await asyncio.to_thread(self.store.access.any)

    async def holding(self, tenant: str, stream: str) -> Holding:
        return await asyncio.to_thread(self.store.access.holding, tenant, stream)

    def drain(self) -> None:
        pass

    async def ready(self) -> None:
        await self.streams(1, "")

    async def close(self) -> None:
        self.store.close()

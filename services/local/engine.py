"""The engine: every call of `services.engine.Engine`, handed to the room that answers it."""

import asyncio
from collections.abc import AsyncGenerator, Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from typing import TypeVar

import structlog

from rankspace.errors import NotFound
from rankspace.generation.request import Embedding, Scores, SessionConfig
from rankspace.media.sample import Part, Sample
from rankspace.store.access import Holding, StoredToken
from rankspace.store.config import StoreConfig
from rankspace.store.drafts import Laid
from rankspace.store.entries import (
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
from services.engine import Trainer, Window
from services.local.answering import Answers, LocalSession
from services.local.committing import Committer
from services.local.config import EngineConfig
from services.local.ingesting import Ingesting
from services.local.leading import Leader
from services.local.scheduling import Schedule
from services.local.upkeep import Upkeep
from services.telemetry.following import following

Found = TypeVar("Found")

log = structlog.get_logger()


class LocalEngine(Ingesting):
    """A store, the models in it, and a trainer. Call `ready` first and `close` last."""

    def __init__(
        self, store: StoreConfig, trainer: Trainer, config: EngineConfig | None = None
    ) -> None:
        self._config = config or EngineConfig()
        self._store_config = store
        self._trainer = trainer
        self._pool = ThreadPoolExecutor(self._config.store_threads, "store")
        self._media_pool = ThreadPoolExecutor(self._config.media_threads, "media")

    @property
    def inline_bytes_max(self) -> int:
        return self._store_config.rows_bytes_max

    async def ready(self) -> None:
        self._store = await self._with(lambda: Store.open(self._store_config))
        if absent := await self._with(self._store.catalogue.models.absent):
            fix = "let the servers of this database share the folder models/"
            log.warning("models are on other servers", models=absent[:10], of=len(absent), fix=fix)
        self._answers = Answers(self._store.catalogue.models, self._config)
        self._committer = Committer(self._store.log, self._with_media, self._config)
        self._committer.begin()
        self._upkeep = Upkeep(self._store, self._with, self._config.upkeep_s)
        self._schedule = Schedule(self._store, self._trainer, self._config)
        self._leader = Leader(self._store.leases, self._config.lease_s, self._lead, self._rest)
        await self._leader.begin()

    def drain(self) -> None:
        if hasattr(self, "_leader"):
            self._leader.drain()

    async def close(self) -> None:
        if hasattr(self, "_leader"):
            await self._leader.close()
            await self._committer.close()
            await self._with(self._answers.close)
            await self._with(self._store.close)
        self._media_pool.shutdown()
        self._pool.shutdown()

    async def create_stream(
        self,
        name: str,
        labels: Mapping[str, str],
        description: str,
        retention: Retention = FOR_EVER,
        strip_metadata: bool = False,
    ) -> Stream:
        return await self._with(
            lambda: self._store.log.create(name, labels, description, retention, strip_metadata)
        )

    async def update_stream(self, name: str, change: StreamChange) -> Stream:
        return await self._with(lambda: self._store.log.update(name, change))

    async def stream(self, name: str) -> Stream:
        return await self._with(lambda: self._store.log.get(name))

    async def streams(self, size: int, token: str, tenant: str | None = None) -> Page[Stream]:
        return await self._with(lambda: self._store.log.list(size, token, tenant))

    async def finalize_stream(self, name: str) -> Stream:
        return await self._with(lambda: self._store.log.finalize(name))

    async def delete_stream(self, name: str) -> None:
        await self._with(lambda: self._store.log.delete(name))

    async def claim(self, name: str, epoch: int) -> int:
        return await self._with(lambda: self._store.log.claim(name, epoch))

    async def append(
        self,
        stream: str,
        offset: int | None,
        samples: Sequence[Sample | Rejected] | Laid,
        epoch: int,
        durability: Durability = "synced",
    ) -> Appended:
        return await self._committer.append(stream, offset, samples, epoch, durability)

    async def read(
        self, stream: str, window: Window
    ) -> AsyncGenerator[tuple[int, Sample | Rejected], None]:
        at, born_us = window.start, 0
        with following(window.follow) as told:
            while True:
                head = await self.stream(stream)
                if born_us not in (0, head.created_us):
                    raise NotFound(f"stream {stream} was deleted while it was read", "stream")
                born_us = head.created_us
                sift = window.wanted and window.takes
                found = self._store.log.records(stream, at, head.next_offset, sift)
                pages = _batched(found, self._config.read_rows)
                while page := await self._with_media(lambda: next(pages, None)):  # noqa: B023 - awaited
                    told(head.next_offset - page[0][0])
                    for offset, entry in page:
                        if window.takes(entry):
                            yield offset, entry
                at = max(at, head.next_offset)
                told(head.next_offset - at)
                if head.finalized or not window.follow:
                    return
                await asyncio.sleep(self._config.poll_s)

    async def create_job(self, config: JobConfig, request_id: str) -> Job:
        return await self._schedule.create(config, request_id)

    async def job(self, job_id: str) -> Job:
        return await self._with(lambda: self._store.catalogue.jobs.get(job_id))

    async def jobs(self, size: int, token: str, tenant: str | None = None) -> Page[Job]:
        jobs = self._store.catalogue.jobs
        return await self._with(lambda: jobs.list(size, token, tenant=tenant))

    async def wish(self, job_id: str, wish: Wish) -> Job:
        return await self._schedule.wish(job_id, wish)

    def watch(self, job_id: str, after: int) -> AsyncGenerator[JobEvent, None]:
        return self._schedule.watch(job_id, after)

    async def models(self, size: int, token: str, tenant: str | None = None) -> Page[ModelVersion]:
        return await self._with(lambda: self._store.catalogue.models.list(size, token, tenant))

    async def versions(self, name: str, size: int, token: str) -> Page[ModelVersion]:
        return await self._with(lambda: self._store.catalogue.models.versions(name, size, token))

    async def model(self, reference: str) -> ModelVersion:
        return await self._with(lambda: self._store.catalogue.models.resolve(reference))

    async def aliases(self, size: int, token: str, tenant: str | None = None) -> Page[Alias]:
        return await self._with(lambda: self._store.catalogue.aliases.list(size, token, tenant))

    async def alias(self, alias: str) -> Alias:
        return await self._with(lambda: self._store.catalogue.aliases.get(alias))

    async def promote(self, alias: str, reference: str) -> Alias:
        model = await self.model(reference)
        aliases = self._store.catalogue.aliases
        return await self._with(lambda: aliases.promote(alias, model.reference))

    async def roll_back(self, alias: str) -> Alias:
        return await self._with(lambda: self._store.catalogue.aliases.roll_back(alias))

    async def open(self, config: SessionConfig) -> LocalSession:
        return await self._answers.open(config)

    async def embed(self, model: str, parts: Sequence[Part]) -> Embedding:
        return await self._answers.embed(model, parts)

    async def score(self, model: str, parts: Sequence[Part]) -> Scores:
        return await self._answers.score(model, parts)

    async def tokens(self, digests: Sequence[str]) -> dict[str, StoredToken]:
        return await self._with(lambda: self._store.access.find(digests))

    async def has_tokens(self) -> bool:
        return await self._with(self._store.access.any)

    async def holding(self, tenant: str, stream: str) -> Holding:
        return await self._with(lambda: self._store.access.holding(tenant, stream))

    async def _lead(self, term: int) -> None:
        """Do what one of all processes on the store does."""
        await self._schedule.begin(term)
        self._upkeep.begin()

    async def _rest(self) -> None:
        """Do it no longer."""
        await self._schedule.close()
        await self._upkeep.close()

    async def _with(self, task: Callable[[], Found]) -> Found:
        """Run a task in a thread of the store's."""
        return await asyncio.get_running_loop().run_in_executor(self._pool, task)

    async def _with_media(self, task: Callable[[], Found]) -> Found:
        """The same for what may have to wait for large media."""
        return await asyncio.get_running_loop().run_in_executor(self._media_pool, task)


def _batched(items: Iterator[Found], size: int) -> Iterator[tuple[Found, ...]]:
    while batch := tuple(islice(items, size)):
        yield batch

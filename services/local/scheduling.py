"""Jobs, each in its turn: queued, handed to the trainer, and what becomes of them when it stops.

The catalogue is the only memory, and any number of processes share it: each takes jobs and wishes
and tells of events, one of them hands jobs out (`services.local.leading`). What is queued or
running is read from the catalogue, so when that one is killed, another goes on where it stood. A
job that was running then goes on from its last checkpoint; one that had none has failed, for it may
be what killed the server. An event is written only if the job is still as it was when the event was
decided on, so two processes never answer one wish twice.
"""

import asyncio
from collections.abc import AsyncGenerator
from typing import Any

import structlog

from rankspace.errors import Fenced, RankspaceError
from rankspace.store.entries import ENDED, Job, JobEvent, Wish
from rankspace.store.store import Store
from rankspace.training.job import Event, JobConfig
from services.engine import Trainer
from services.local.config import EngineConfig

CHECKPOINT = "checkpoint.json"
"""What a job's folder holds once the job can go on from there."""

log = structlog.get_logger()


class Schedule:
    """The jobs of a store and the trainer that runs them."""

    def __init__(self, store: Store, trainer: Trainer, config: EngineConfig) -> None:
        self._store = store
        self._jobs = store.catalogue.jobs
        self._trainer = trainer
        self._config = config
        self._news = asyncio.Event()
        self._running: asyncio.Task[None] | None = None

    async def create(self, config: JobConfig, request_id: str) -> Job:
        for stream in config.streams:
            await asyncio.to_thread(self._store.log.get, stream)
        values = config.model_dump(mode="json")
        job = await asyncio.to_thread(self._jobs.create, request_id, values)
        if not job.revision:
            await self._tell(job, Event(phase="queued", state="queued"))
        self._news.set()
        return await asyncio.to_thread(self._jobs.get, job.job_id)

    async def wish(self, job_id: str, wish: Wish) -> Job:
        job = await asyncio.to_thread(self._jobs.set_wish, job_id, wish)
        while (event := _answer(job)) is not None:
            await self._tell(job, event)
            job = await asyncio.to_thread(self._jobs.get, job_id)
        self._news.set()
        return job

    async def watch(self, job_id: str, after: int) -> AsyncGenerator[JobEvent, None]:
        while True:
            events = await asyncio.to_thread(self._jobs.events, job_id, after)
            for event in events:
                after = event.revision
                yield event
            if not events:
                job = await asyncio.to_thread(self._jobs.get, job_id)
                if job.state in ENDED and job.revision <= after:
                    return
                await asyncio.sleep(self._config.poll_s)

    async def begin(self, term: int) -> None:
        """Take up what an earlier server left, then run jobs as they come."""
        for job in await asyncio.to_thread(self._jobs.unfinished):
            if job.state == "running":
                await self._take_up(job, term)
        self._running = asyncio.create_task(self._run(term))
        self._running.add_done_callback(_tell_bug)

    async def close(self) -> None:
        """Stop handing jobs out; those that run stop at their last checkpoint."""
        if self._running is not None:
            self._running.cancel()
            await asyncio.wait((self._running,))
            self._running = None
        await self._trainer.close()

    async def _run(self, term: int) -> None:
        while True:
            try:
                await self._hand_out(term)
            except Fenced:  # whoever leads will soon be told
                return
            except RankspaceError as error:  # such as a busy store: it will pass
                log.warning("jobs", problem=str(error))
            try:
                await asyncio.wait_for(self._news.wait(), self._config.poll_s)
            except TimeoutError:
                continue
            self._news.clear()

    async def _hand_out(self, term: int) -> None:
        while (job := await self._next()) is not None:
            if await self._tell(job, Event(phase="starting", message="starting workers"), term):
                await self._start(job.job_id, term)

    async def _next(self) -> Job | None:
        """The oldest job that waits, if there is room for one."""
        unfinished = await asyncio.to_thread(self._jobs.unfinished)
        queued = [job for job in unfinished if job.state == "queued"]
        running = sum(job.state == "running" for job in unfinished)
        return queued[0] if queued and running < self._config.jobs_max else None

    async def _start(self, job_id: str, term: int) -> None:
        log.info("job starts", job=job_id)
        try:
            await self._trainer.start(job_id, term)
        except RankspaceError as error:
            log.warning("job cannot start", job=job_id, problem=str(error))
            event = Event(phase="done", state="failed", message=str(error))
            body = event.model_dump(mode="json")
            await asyncio.to_thread(self._jobs.append_event, job_id, body, term=term)

    async def _take_up(self, job: Job, term: int) -> None:
        folder = await asyncio.to_thread(self._store.job_folder, job.job_id)
        step: dict[str, Any] = {"phase": "queued", "state": "queued"}
        step["message"] = "the server was restarted; the job goes on from its last checkpoint"
        if not (folder / CHECKPOINT).exists():
            step = {"phase": "done", "state": "failed"}
            step["message"] = "the server stopped before the first checkpoint; submit the job again"
        while job.state == "running" and not await self._tell(job, Event(**step), term):
            job = await asyncio.to_thread(self._jobs.get, job.job_id)  # its last words came late

    async def _tell(self, job: Job, event: Event, term: int = 0) -> bool:
        """Write an event down, unless the job is no longer as it was seen."""
        body = event.model_dump(mode="json")
        append = self._jobs.append_event
        return bool(await asyncio.to_thread(append, job.job_id, body, job.revision, term))


def _answer(job: Job) -> Event | None:
    """What becomes of a job at rest by what is wished of it; who runs a job answers for it."""
    if job.state in ("queued", "paused") and job.wish == "cancel":
        return Event(phase="done", state="cancelled")
    if job.state == "queued" and job.wish == "pause":
        return Event(phase="queued", state="paused")
    if job.state == "paused" and job.wish == "run":
        return Event(phase="queued", state="queued")
    return None


def _tell_bug(running: asyncio.Task[None]) -> None:
    """Nobody waits for the task that hands out jobs: what ended it would never be known."""
    if not running.cancelled() and (bug := running.exception()) is not None:
        log.error("jobs are handed out no more; restart the server", exc_info=bug)

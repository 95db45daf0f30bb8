"""Jobs, each in its turn: queued, handed to the trainer, and what becomes of them when it stops.

The catalogue is the only memory: what is queued or running is read from it, so a server that was
killed goes on where it stood. A job that was running then goes on from its last checkpoint; one
that had none has failed, for it may be what killed the server.
"""

import asyncio
from collections.abc import AsyncGenerator
from typing import Any

import structlog

from rankspace.errors import RankspaceError
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
        self._turn = asyncio.Lock()  # between reading a job's state and changing it
        self._news = asyncio.Event()
        self._running: asyncio.Task[None] | None = None

    async def create(self, config: JobConfig, request_id: str) -> Job:
        for stream in config.streams:
            await asyncio.to_thread(self._store.log.get, stream)
        values = config.model_dump(mode="json")
        async with self._turn:
            job = await asyncio.to_thread(self._jobs.create, request_id, values)
            if not job.revision:
                job = await self._tell(job.job_id, Event(phase="queued", state="queued"))
        self._news.set()
        return job

    async def wish(self, job_id: str, wish: Wish) -> Job:
        async with self._turn:
            job = await asyncio.to_thread(self._jobs.set_wish, job_id, wish)
            idle = job.state in ("queued", "paused")  # then nobody else will answer the wish
            if idle and wish == "cancel":
                job = await self._tell(job_id, Event(phase="done", state="cancelled"))
            elif job.state == "queued" and wish == "pause":
                job = await self._tell(job_id, Event(phase="queued", state="paused"))
            elif job.state == "paused" and wish == "run":
                job = await self._tell(job_id, Event(phase="queued", state="queued"))
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

    async def begin(self) -> None:
        """Take up what an earlier server left, then run jobs as they come."""
        for job in await asyncio.to_thread(self._jobs.unfinished):
            if job.state == "running":
                await self._take_up(job)
        self._running = asyncio.create_task(self._run())
        self._running.add_done_callback(_tell_bug)

    async def close(self) -> None:
        """Stop handing jobs out; those that run stop at their last checkpoint."""
        if self._running is not None:
            self._running.cancel()
            await asyncio.wait((self._running,))
        await self._trainer.close()

    async def _run(self) -> None:
        while True:
            try:
                await self._hand_out()
            except RankspaceError as error:  # such as a busy store: it will pass
                log.warning("jobs", problem=str(error))
            try:
                await asyncio.wait_for(self._news.wait(), self._config.poll_s)
            except TimeoutError:
                continue
            self._news.clear()

    async def _hand_out(self) -> None:
        while (job_id := await self._next()) is not None:
            await self._start(job_id)

    async def _next(self) -> str | None:
        """The oldest job that waits, if there is room for one; from now on it runs."""
        async with self._turn:
            unfinished = await asyncio.to_thread(self._jobs.unfinished)
            queued = [job.job_id for job in unfinished if job.state == "queued"]
            running = sum(job.state == "running" for job in unfinished)
            if not queued or running >= self._config.jobs_max:
                return None
            await self._tell(queued[0], Event(phase="starting", message="starting workers"))
            return queued[0]

    async def _start(self, job_id: str) -> None:
        log.info("job starts", job=job_id)
        try:
            await self._trainer.start(job_id)
        except RankspaceError as error:
            log.warning("job cannot start", job=job_id, problem=str(error))
            await self._tell(job_id, Event(phase="done", state="failed", message=str(error)))

    async def _take_up(self, job: Job) -> None:
        folder = await asyncio.to_thread(self._store.job_folder, job.job_id)
        step: dict[str, Any] = {"phase": "queued", "state": "queued"}
        step["message"] = "the server was restarted; the job goes on from its last checkpoint"
        if not (folder / CHECKPOINT).exists():
            step = {"phase": "done", "state": "failed"}
            step["message"] = "the server stopped before the first checkpoint; submit the job again"
        await self._tell(job.job_id, Event(**step))

    async def _tell(self, job_id: str, event: Event) -> Job:
        body = event.model_dump(mode="json")
        await asyncio.to_thread(self._jobs.append_event, job_id, body)
        return await asyncio.to_thread(self._jobs.get, job_id)


def _tell_bug(running: asyncio.Task[None]) -> None:
    """Nobody waits for the task that hands out jobs: what ended it would never be known."""
    if not running.cancelled() and (bug := running.exception()) is not None:
        log.error("jobs are handed out no more; restart the server", exc_info=bug)

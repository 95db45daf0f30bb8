"""Jobs, as the caller of each call may see them."""

from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import replace

from rankspace.store.entries import Job, JobEvent, Page, Wish
from rankspace.training.job import JobConfig
from services.engine import Engine
from services.tenancy.names import own_names


class TenantJobs:
    """See `services.engine.Jobs`."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    async def create_job(self, config: JobConfig, request_id: str) -> Job:
        with own_names() as own:
            request = own.request(request_id)
            return own.job(await self._engine.create_job(own.config(config), request))

    async def job(self, job_id: str) -> Job:
        with own_names() as own:
            return own.job(await self._engine.job(job_id))

    async def jobs(self, size: int, token: str) -> Page[Job]:
        with own_names() as own:
            page = await self._engine.jobs(size, token, own.tenant)
            return Page(tuple(map(own.job, page.items)), page.next_token)

    async def wish(self, job_id: str, wish: Wish) -> Job:
        with own_names() as own:
            own.job(await self._engine.job(job_id))
            return own.job(await self._engine.wish(job_id, wish))

    async def watch(self, job_id: str, after: int) -> AsyncGenerator[JobEvent, None]:
        with own_names() as own:
            own.job(await self._engine.job(job_id))
            async with aclosing(self._engine.watch(job_id, after)) as events:
                async for event in events:
                    yield replace(event, body=own.plain(event.body))

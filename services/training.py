"""TrainingService: read the wire, ask the engine, write the wire."""

from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import Any

from grpc.aio import ServicerContext

from rankspace.store.entries import Wish
from rankspace.v1 import training_pb2 as pb
from rankspace.v1 import training_pb2_grpc as pb_grpc
from rankspace.wire.names import read_name, read_page
from rankspace.wire.training import read_config, write_event, write_job
from services.draining import Draining
from services.engine import Jobs

Context = ServicerContext[Any, Any]


class Training(pb_grpc.TrainingServiceServicer):
    """Training jobs."""

    def __init__(self, engine: Jobs, draining: Draining) -> None:
        self._engine = engine
        self._draining = draining

    async def CreateJob(
        self, request: pb.CreateJobRequest, _context: Context
    ) -> pb.CreateJobResponse:
        job = await self._engine.create_job(read_config(request.config), request.request_id)
        return pb.CreateJobResponse(job=write_job(job))

    async def GetJob(self, request: pb.GetJobRequest, _context: Context) -> pb.GetJobResponse:
        job = await self._engine.job(read_name("jobs", request.name))
        return pb.GetJobResponse(job=write_job(job))

    async def ListJobs(self, request: pb.ListJobsRequest, _context: Context) -> pb.ListJobsResponse:
        page = await self._engine.jobs(*read_page(request))
        return pb.ListJobsResponse(jobs=map(write_job, page.items), next_page_token=page.next_token)

    async def WatchJob(
        self, request: pb.WatchJobRequest, _context: Context
    ) -> AsyncIterator[pb.WatchJobResponse]:
        events = self._engine.watch(read_name("jobs", request.name), request.after_revision)
        async with aclosing(self._draining.until(events)) as found:
            async for event in found:
                yield pb.WatchJobResponse(event=write_event(event))

    async def CancelJob(
        self, request: pb.CancelJobRequest, _context: Context
    ) -> pb.CancelJobResponse:
        return pb.CancelJobResponse(job=await self._wish(request.name, "cancel"))

    async def PauseJob(self, request: pb.PauseJobRequest, _context: Context) -> pb.PauseJobResponse:
        return pb.PauseJobResponse(job=await self._wish(request.name, "pause"))

    async def ResumeJob(
        self, request: pb.ResumeJobRequest, _context: Context
    ) -> pb.ResumeJobResponse:
        return pb.ResumeJobResponse(job=await self._wish(request.name, "run"))

    async def _wish(self, name: str, wish: Wish) -> pb.Job:
        return write_job(await self._engine.wish(read_name("jobs", name), wish))

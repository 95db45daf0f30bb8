"""Training jobs: submit, watch, steer."""

import uuid
from collections.abc import AsyncIterator

from rankspace.client.connection import Connection, Patience
from rankspace.errors import RankspaceError, Unreachable
from rankspace.store.entries import ENDED, Job, JobEvent
from rankspace.training.job import JobConfig
from rankspace.v1 import training_pb2 as pb
from rankspace.v1.training_pb2_grpc import TrainingServiceStub
from rankspace.wire.training import read_event, read_job, write_config


class Training:
    """The calls of TrainingService."""

    _connection: Connection

    async def create_job(self, config: JobConfig, request_id: str = "") -> Job:
        """Submit a job; one request_id always means one job. Without one, one is drawn."""
        request = pb.CreateJobRequest(
            config=write_config(config), request_id=request_id or str(uuid.uuid4())
        )
        return read_job(
            (
                await self._connection.call(
                    TrainingServiceStub(self._connection.channel).CreateJob, request
                )
            ).job
        )

    async def get_job(self, job: str) -> Job:
        """One job."""
        request = pb.GetJobRequest(name=_name(job))
        return read_job(
            (
                await self._connection.call(
                    TrainingServiceStub(self._connection.channel).GetJob, request
                )
            ).job
        )

    async def list_jobs(self) -> AsyncIterator[Job]:
        """All jobs, the newest first."""
        request = pb.ListJobsRequest()
        method = TrainingServiceStub(self._connection.channel).ListJobs
        async for page in self._connection.pages(method, request):
            for message in page.jobs:
                yield read_job(message)

    async def watch_job(self, job: str, after_revision: int = 0) -> AsyncIterator[JobEvent]:
        """Every event after a revision, each once, until the job is over; reconnects as needed."""
        request = pb.WatchJobRequest(name=_name(job), after_revision=after_revision)
        patience = Patience(self._connection.patience_s)
        while True:
            try:
                async for event in self._watch(request):
                    patience.renew()
                    yield event
                if (await self.get_job(job)).state in ENDED:
                    return
                raise Unreachable(f"{self._connection.target} ended the call before the job")
            except RankspaceError as error:
                await patience.wait(error)

    async def _watch(self, request: pb.WatchJobRequest) -> AsyncIterator[JobEvent]:
        """Watch on one connection; `request` moves along, so that it can be asked again."""
        with self._connection.failures():
            call = TrainingServiceStub(self._connection.channel).WatchJob(
                request, metadata=self._connection.metadata
            )
            try:
                async for response in call:
                    request.after_revision = response.event.revision
                    yield read_event(response.event, request.name.removeprefix("jobs/"))
            finally:
                call.cancel()

    async def cancel_job(self, job: str) -> Job:
        """Ask a job to stop for good; what it has saved stays."""
        request = pb.CancelJobRequest(name=_name(job))
        return read_job(
            (
                await self._connection.call(
                    TrainingServiceStub(self._connection.channel).CancelJob, request
                )
            ).job
        )

    async def pause_job(self, job: str) -> Job:
        """Ask a job to stop at its next checkpoint until it is resumed."""
        request = pb.PauseJobRequest(name=_name(job))
        return read_job(
            (
                await self._connection.call(
                    TrainingServiceStub(self._connection.channel).PauseJob, request
                )
            ).job
        )

    async def resume_job(self, job: str) -> Job:
        """Ask a paused job to go on."""
        request = pb.ResumeJobRequest(name=_name(job))
        return read_job(
            (
                await self._connection.call(
                    TrainingServiceStub(self._connection.channel).ResumeJob, request
                )
            ).job
        )


def _name(job: str) -> str:
    return f"jobs/{job.removeprefix('jobs/')}"

"""Jobs through the socket: made once, watched without a gap, asked to stop."""

import asyncio
from typing import Any

import grpc
import pytest

from rankspace.v1 import training_pb2 as pb
from rankspace.v1.training_pb2_grpc import TrainingServiceStub
from tests.services.parrot import ParrotEngine
from tests.services.refusal import refusal

CONFIG = pb.JobConfig(streams=["streams/digits"], steps=3, model="m")


@pytest.fixture
def stub(channel: grpc.aio.Channel) -> Any:
    return TrainingServiceStub(channel)


async def create(stub: Any, request_id: str = "") -> pb.Job:
    request = pb.CreateJobRequest(config=CONFIG, request_id=request_id)
    return (await stub.CreateJob(request)).job


async def test_a_job_has_all_settings_said(stub: Any) -> None:
    job = await create(stub)
    assert job.state == pb.JOB_STATE_QUEUED
    assert job.wish == pb.JOB_WISH_RUN
    assert (list(job.config.streams), job.config.steps) == (["streams/digits"], 3)
    assert job.config.HasField("context")
    assert (await stub.GetJob(pb.GetJobRequest(name=job.name))).job == job


async def test_the_same_request_makes_the_same_job(stub: Any) -> None:
    first, again, other = await create(stub, "r1"), await create(stub, "r1"), await create(stub)
    assert first == again
    assert first.name != other.name
    listed = await stub.ListJobs(pb.ListJobsRequest())
    assert [job.name for job in listed.jobs] == [other.name, first.name]


async def test_a_watch_tells_every_event_once_and_ends_with_the_job(
    stub: Any, engine: ParrotEngine
) -> None:
    job = await create(stub)
    events = engine.store.catalogue.jobs

    async def watched(after: int) -> list[pb.JobEvent]:
        call = stub.WatchJob(pb.WatchJobRequest(name=job.name, after_revision=after))
        return [answer.event async for answer in call]

    job_id = job.name.removeprefix("jobs/")
    watching = asyncio.create_task(watched(0))
    await asyncio.to_thread(
        events.append_event,
        job_id,
        {"phase": "training", "step": 1, "loss": 2.5, "betas": {"a": 1}},
    )
    await asyncio.to_thread(events.append_event, job_id, {"phase": "done", "state": "succeeded"})
    found = await watching
    assert [event.revision for event in found] == [1, 2]
    assert (found[0].phase, found[0].loss, found[0].betas["a"]) == (pb.JOB_PHASE_TRAINING, 2.5, 1)
    assert not found[1].HasField("loss")
    assert found[1].state == pb.JOB_STATE_SUCCEEDED
    assert await watched(1) == found[1:]
    assert (await stub.GetJob(pb.GetJobRequest(name=job.name))).job.event.phase == pb.JOB_PHASE_DONE


async def test_wishes_are_written_down(stub: Any) -> None:
    name = (await create(stub)).name
    assert (await stub.PauseJob(pb.PauseJobRequest(name=name))).job.wish == pb.JOB_WISH_PAUSE
    assert (await stub.ResumeJob(pb.ResumeJobRequest(name=name))).job.wish == pb.JOB_WISH_RUN
    assert (await stub.CancelJob(pb.CancelJobRequest(name=name))).job.wish == pb.JOB_WISH_CANCEL


async def test_a_config_that_cannot_be_is_refused_by_its_field(stub: Any) -> None:
    wrong = pb.CreateJobRequest(config=pb.JobConfig(streams=["streams/a"], size="huge"))
    code, reason, field, _ = await refusal(stub.CreateJob(wrong))
    assert (code, reason, field) == (
        grpc.StatusCode.INVALID_ARGUMENT, "INVALID_CONFIG", "config.size",
    )  # fmt: skip


async def test_an_unknown_job_is_not_found(stub: Any) -> None:
    code, *_ = await refusal(stub.GetJob(pb.GetJobRequest(name="jobs/job-0")))
    assert code == grpc.StatusCode.NOT_FOUND

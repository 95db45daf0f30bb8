"""The engine of one process: streams that are followed, jobs that take turns."""

import asyncio
import sqlite3
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from rankspace.errors import NotFound, Refused
from rankspace.media.sample import Sample
from rankspace.store.config import StoreConfig
from rankspace.store.entries import Job, Rejected
from rankspace.store.store import Store
from rankspace.training.job import Event
from services.engine import Engine, Window
from services.local import LocalEngine
from services.local.config import EngineConfig
from services.local.engine import LocalEngine as Local
from tests.services.local.small import JOB, PROGRAMS, InThisProcess, samples


class Unable:
    """A trainer that cannot start."""

    async def start(self, job_id: str, term: int) -> None:
        raise Refused(f"{job_id} asks for 9 workers and this machine has 2 cores")

    async def close(self) -> None:
        pass


@pytest.fixture
def config(tmp_path: Path) -> StoreConfig:
    return StoreConfig(folder=tmp_path / "store")


@pytest.fixture
def program() -> str:
    return f"{PROGRAMS}:count"


@pytest.fixture
async def engine(config: StoreConfig, program: str) -> AsyncIterator[Local]:
    trainer = InThisProcess(config, program)
    made = LocalEngine(config, trainer, EngineConfig(poll_s=0.02, sessions_max=2))
    await made.ready()
    await made.create_stream("s", {}, "")
    yield made
    await made.close()


async def ended(engine: Local, job_id: str) -> Job:
    async for _ in engine.watch(job_id, 0):
        pass
    return await engine.job(job_id)


async def test_it_is_an_engine(engine: Local) -> None:
    seen_by_the_type_checker: Engine = engine
    assert isinstance(seen_by_the_type_checker, Engine)


async def test_streams_are_listed_claimed_and_deleted(engine: Local) -> None:
    assert [stream.name for stream in (await engine.streams(10, "")).items] == ["s"]
    assert await engine.claim("s", 0) == 1
    assert (await engine.stream("s")).epoch == 1
    await engine.delete_stream("s")
    with pytest.raises(NotFound):
        await engine.stream("s")


async def test_an_engine_that_never_got_ready_can_be_closed(config: StoreConfig) -> None:
    await LocalEngine(config, Unable()).close()


async def test_a_stream_is_read_with_or_without_what_was_refused(engine: Local) -> None:
    sent: list[Sample | Rejected] = [*samples(20), Rejected("bad", "MALFORMED_MEDIA", "no")]
    await engine.append("s", 0, sent, 0)
    read = [found async for _, found in engine.read("s", Window())]
    assert read == samples(20)
    whole = [offset async for offset, _ in engine.read("s", Window(start=15, rejected=True))]
    assert whole == [15, 16, 17, 18, 19, 20]


async def test_a_reader_that_follows_gets_what_comes_until_the_stream_is_finalized(
    engine: Local,
) -> None:
    async def read() -> list[int]:
        return [offset async for offset, _ in engine.read("s", Window(follow=True))]

    reading = asyncio.create_task(read())
    for n in range(3):
        await engine.append("s", n, samples(n + 1)[n:], 0)
        await asyncio.sleep(0.03)
    await engine.finalize_stream("s")
    assert await reading == [0, 1, 2]


async def test_a_reader_that_follows_never_goes_on_in_another_stream_of_the_same_name(
    engine: Local,
) -> None:
    await engine.append("s", None, samples(2), 0)
    reading = engine.read("s", Window(0, follow=True))
    assert [(await anext(reading))[0] for _ in range(2)] == [0, 1]
    await engine.delete_stream("s")
    await engine.create_stream("s", {}, "")
    await engine.append("s", None, samples(4), 0)
    with pytest.raises(NotFound, match="deleted while it was read"):
        await anext(reading)


async def test_a_job_reports_from_its_queue_to_its_end(engine: Local) -> None:
    job = await engine.create_job(JOB, "r")
    assert (await engine.create_job(JOB, "r")).job_id == job.job_id
    assert (await ended(engine, job.job_id)).state == "succeeded"
    events = [event async for event in engine.watch(job.job_id, 0)]
    assert [event.revision for event in events] == list(range(1, len(events) + 1))
    assert [event.body["phase"] for event in events[:2]] == ["queued", "starting"]
    late = [event.revision async for event in engine.watch(job.job_id, events[-2].revision)]
    assert late == [events[-1].revision]


@pytest.mark.parametrize("program", [f"{PROGRAMS}:wait"])
async def test_a_job_can_be_cancelled_twice(engine: Local) -> None:
    job = await engine.create_job(JOB, "")
    await engine.wish(job.job_id, "cancel")
    assert (await ended(engine, job.job_id)).state == "cancelled"
    assert (await engine.wish(job.job_id, "cancel")).state == "cancelled"
    assert [found.job_id for found in (await engine.jobs(10, "")).items] == [job.job_id]


async def test_a_store_that_is_busy_for_a_while_holds_jobs_up_and_loses_none(
    config: StoreConfig,
) -> None:
    patient = config.model_copy(update={"busy_s": 0.01})
    engine = LocalEngine(patient, InThisProcess(config, f"{PROGRAMS}:count"), EngineConfig())
    await engine.ready()
    await engine.create_stream("s", {}, "")
    job = await engine.create_job(JOB, "")
    other = sqlite3.connect(config.folder / "store.db")
    other.execute("BEGIN IMMEDIATE")
    await asyncio.sleep(0.3)
    other.close()
    assert (await ended(engine, job.job_id)).state == "succeeded"
    await engine.close()


async def test_a_job_wants_streams_that_are_there(engine: Local) -> None:
    with pytest.raises(NotFound):
        await engine.create_job(JOB.model_copy(update={"streams": ("none",)}), "")


@pytest.mark.parametrize("program", [f"{PROGRAMS}:wait"])
async def test_jobs_wait_their_turn_and_can_be_cancelled_paused_and_resumed(engine: Local) -> None:
    first, second, third = [(await engine.create_job(JOB, "")).job_id for _ in range(3)]
    assert (await engine.wish(second, "pause")).state == "paused"
    assert (await engine.wish(third, "cancel")).state == "cancelled"
    while (await engine.job(first)).revision < 3:  # noqa: ASYNC110 - its thread sets no event
        await asyncio.sleep(0.02)
    assert (await engine.job(first)).state == "running"
    await engine.wish(first, "cancel")
    assert (await ended(engine, first)).state == "cancelled"
    assert (await engine.job(second)).state == "paused"
    assert (await engine.wish(second, "run")).state == "queued"
    await asyncio.sleep(0.1)
    assert (await engine.job(second)).state == "running"
    await engine.wish(second, "cancel")
    assert (await ended(engine, second)).state == "cancelled"
    with pytest.raises(Refused):
        await engine.wish(second, "run")


async def test_a_job_that_cannot_start_has_failed(config: StoreConfig) -> None:
    engine = LocalEngine(config, Unable(), EngineConfig(poll_s=0.02))
    await engine.ready()
    await engine.create_stream("s", {}, "")
    job = await ended(engine, (await engine.create_job(JOB, "")).job_id)
    assert job.state == "failed"
    assert job.last_event is not None
    assert "2 cores" in job.last_event["message"]
    await engine.close()


async def test_after_a_restart_jobs_go_on_from_their_checkpoint_or_have_failed(
    config: StoreConfig,
) -> None:
    with Store.open(config) as store:
        jobs = [store.catalogue.jobs.create("", JOB.model_dump(mode="json")) for _ in range(3)]
        lost, kept, waiting = [job.job_id for job in jobs]
        for job_id in (lost, kept):
            event = Event(phase="training").model_dump(mode="json")
            store.catalogue.jobs.append_event(job_id, event)
        (store.job_folder(kept) / "checkpoint.json").write_text("{}")
    trainer = InThisProcess(config, f"{PROGRAMS}:count")
    engine = LocalEngine(config, trainer, EngineConfig(poll_s=0.02))
    await engine.ready()
    failed = (await engine.job(lost)).last_event
    assert failed is not None
    assert failed["state"] == "failed"
    assert "submit the job again" in failed["message"]
    assert (await ended(engine, kept)).state == "succeeded"
    assert (await ended(engine, waiting)).state == "succeeded"
    assert trainer.started == [kept, waiting]
    await engine.close()


def test_a_server_that_answers_nothing_never_imports_torch() -> None:
    code = "import sys, services.local; print({'ray', 'torch'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"

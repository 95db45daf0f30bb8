"""The engine of one process: streams followed, jobs in turn, models that answer and are swapped."""

import asyncio
import sqlite3
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from rankspace.errors import NotFound, Overloaded, Refused, UnknownModality
from rankspace.generation.request import Ask, Delta, Sampling, SessionConfig, Target
from rankspace.media.sample import Part, Sample
from rankspace.store.config import StoreConfig
from rankspace.store.entries import Job, Rejected
from rankspace.store.store import Store
from rankspace.training.job import Event, JobConfig
from services.cluster.performing import PROGRAM, perform
from services.engine import Engine, Window
from services.local import LocalEngine
from services.local.config import EngineConfig
from services.local.engine import LocalEngine as Local

PROGRAMS = "tests.services.programs"
JOB = JobConfig(
    streams=("s",), steps=3, size="tiny", context=32, batch_symbols=256, evaluate_every=3
)
TEXT = Target(modality="text", role="word")


class InThisProcess:
    """A trainer that performs jobs in threads of this process."""

    def __init__(self, store: StoreConfig, program: str) -> None:
        self._store = store
        self._program = program
        self.started: list[str] = []
        self._tasks: list[asyncio.Task[None]] = []

    async def start(self, job_id: str) -> None:
        self.started.append(job_id)
        arguments = self._store, job_id, 0, 1, self._program
        self._tasks.append(asyncio.create_task(asyncio.to_thread(perform, *arguments)))

    async def close(self) -> None:
        await asyncio.gather(*self._tasks)


class Unable:
    """A trainer that cannot start."""

    async def start(self, job_id: str) -> None:
        raise Refused(f"{job_id} asks for 9 workers and this machine has 2 cores")

    async def close(self) -> None:
        pass


def samples(count: int) -> list[Sample]:
    words = ["one", "two", "three", "four", "five"]
    return [
        Sample(
            str(n),
            (Part("text", b"after %d comes" % n), Part("text", words[n % 5].encode(), role="word")),
            labels={"split": "valid"} if n % 5 == 0 else {},
        )
        for n in range(count)
    ]


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


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> StoreConfig:
    """A store with two versions of a tiny model of text."""
    config = StoreConfig(folder=tmp_path_factory.mktemp("trained"))
    with Store.open(config) as store:
        store.log.create("s")
        store.log.append("s", 0, samples(60))
        for seed in range(2):
            values = JOB.model_copy(update={"seed": seed}).model_dump(mode="json")
            perform(config, store.catalogue.jobs.create("", values).job_id, 0, 1, PROGRAM)
    return config


@pytest.fixture
async def answering(trained: StoreConfig) -> AsyncIterator[Local]:
    trainer = InThisProcess(trained, PROGRAM)
    made = LocalEngine(trained, trainer, EngineConfig(poll_s=0.02, sessions_max=2, models_max=1))
    await made.ready()
    yield made
    await made.close()


async def said(engine: Local, model: str) -> tuple[str, list[Delta]]:
    session = await engine.open(SessionConfig(model=model))
    await session.hear(Part("text", b"after 7 comes"))
    ask = Ask(TEXT, Sampling(greedy=True, max_symbols=8))
    deltas = [delta async for delta in session.answer(ask)]
    await session.close()
    return session.model, deltas


async def test_an_answer_ends_with_its_cost(answering: Local) -> None:
    _, deltas = await said(answering, "default")
    assert [delta.final for delta in deltas] == [False] * (len(deltas) - 1) + [True]
    assert [delta.sequence for delta in deltas] == list(range(len(deltas)))
    assert deltas[-1].usage is not None
    assert deltas[-1].usage.prompt_parts == 1


async def test_models_and_aliases_are_listed(answering: Local) -> None:
    assert [model.reference for model in (await answering.models(10, "")).items] == ["model@2"]
    versions = await answering.versions("model", 10, "")
    assert [model.version for model in versions.items] == [2, 1]
    standing = await answering.alias("default")
    assert (await answering.aliases(10, "")).items == (standing,)


async def test_sessions_follow_an_alias_that_moves(answering: Local) -> None:
    assert (await said(answering, "default"))[0] == "model@2"
    await answering.roll_back("default")
    assert (await said(answering, "default"))[0] == "model@1"
    await answering.promote("default", "model")
    assert (await said(answering, "default"))[0] == "model@2"


async def test_an_interrupted_answer_ends_with_its_next_delta(answering: Local) -> None:
    session = await answering.open(SessionConfig())
    await session.hear(Part("text", b"after 7 comes"))
    found = []
    async for delta in session.answer(Ask(TEXT, Sampling(max_symbols=200, beta=0.01))):
        found.append(delta)
        session.interrupt()
    assert len(found) == 2
    assert found[-1].final
    assert found[-1].usage is not None
    assert found[-1].usage.interrupted
    again = [delta async for delta in session.answer(Ask(TEXT, Sampling(max_symbols=4)))]
    assert again[-1].final
    await session.close()


async def test_a_caller_that_goes_away_midway_harms_nobody(answering: Local) -> None:
    session = await answering.open(SessionConfig())

    async def listen() -> None:
        async for _ in session.answer(Ask(TEXT)):
            pass

    listening = asyncio.create_task(listen())
    await asyncio.sleep(0)
    listening.cancel()  # while the first symbol is thought of
    with pytest.raises(asyncio.CancelledError):
        await listening
    await session.close()
    assert (await said(answering, "default"))[1][-1].final


async def test_one_session_too_many_is_told_to_come_again(answering: Local) -> None:
    sessions = [await answering.open(SessionConfig()) for _ in range(2)]
    with pytest.raises(Overloaded) as caught:
        await answering.open(SessionConfig())
    assert caught.value.retry_after_s > 0
    for session in sessions:
        await session.close()
        await session.close()
    await (await answering.open(SessionConfig())).close()


async def test_what_a_model_never_learnt_is_refused_and_frees_its_place(answering: Local) -> None:
    for _ in range(3):
        with pytest.raises(NotFound):
            await answering.open(SessionConfig(model="none"))
    session = await answering.open(SessionConfig())
    with pytest.raises(UnknownModality):
        await session.hear(Part("image", b"", "png"))
    with pytest.raises(UnknownModality):
        [delta async for delta in session.answer(Ask(Target(modality="audio")))]
    await session.close()


async def test_embeddings_and_scores_name_the_version_that_made_them(answering: Local) -> None:
    part = Part("text", b"three", role="word")
    embedding = await answering.embed("model@1", [part])
    assert embedding.model == "model@1"
    assert sum(x * x for x in embedding.vector) == pytest.approx(1.0, abs=1e-5)
    scores = await answering.score("model", [part, part])
    assert scores.model == "model@2"
    assert all(score.bits > 0 for score in scores.parts)


async def test_the_loop_stays_free_while_a_model_thinks(answering: Local) -> None:
    longest = 0.0

    async def beat() -> None:
        nonlocal longest
        while True:
            before = time.perf_counter()
            await asyncio.sleep(0.005)
            longest = max(longest, time.perf_counter() - before)

    beating = asyncio.create_task(beat())
    await asyncio.gather(said(answering, "model@1"), said(answering, "model@2"))
    beating.cancel()
    assert longest < 0.5


def test_a_server_that_answers_nothing_never_imports_torch() -> None:
    code = "import sys, services.local; print({'ray', 'torch'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"

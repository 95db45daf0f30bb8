"""Models that answer and are swapped, in threads of this process."""

import asyncio
import time
from collections.abc import AsyncIterator

import pytest

from rankspace.errors import NotFound, Overloaded, UnknownModality
from rankspace.generation.request import Ask, Delta, Sampling, SessionConfig, Target
from rankspace.media.sample import Part
from rankspace.store.config import StoreConfig
from rankspace.store.store import Store
from services.cluster.performing import PROGRAM, perform
from services.local import LocalEngine
from services.local.config import EngineConfig
from services.local.engine import LocalEngine as Local
from tests.services.local.small import JOB, InThisProcess, samples

TEXT = Target(modality="text", role="word")


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

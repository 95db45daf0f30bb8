"""Several engines on one store: one hands out jobs, and another takes its place when it is gone."""

import asyncio
import os
import signal
import sqlite3
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from rankspace.store.config import StoreConfig
from rankspace.store.jobs import HANDING_OUT
from rankspace.store.store import Store
from services.local.config import EngineConfig
from services.local.engine import LocalEngine
from services.local.leading import has_ended
from tests.services.local.small import JOB, PROGRAMS, InThisProcess

ROOT = Path(__file__).parents[3]
HOLDER = """
import asyncio, sys
from pathlib import Path
from rankspace.store.config import StoreConfig
from services.local import LocalEngine
from services.local.config import EngineConfig
from tests.services.local.small import PROGRAMS, InThisProcess

async def main():
    config = StoreConfig(folder=Path(sys.argv[1]))
    trainer = InThisProcess(config, f"{PROGRAMS}:wait")
    settings = EngineConfig(poll_s=0.02, lease_s=float(sys.argv[2]))
    await LocalEngine(config, trainer, settings).ready()
    print("ready", flush=True)
    await asyncio.sleep(100)

asyncio.run(main())
"""


@pytest.fixture
def config(tmp_path: Path) -> StoreConfig:
    return StoreConfig(folder=tmp_path / "store")


@contextmanager
def another(config: StoreConfig, lease_s: float) -> Iterator[subprocess.Popen[str]]:
    """A process of its own with an engine that is ready; killed at the end."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(config.folder), str(lease_s)],
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None
        while process.stdout.readline() not in ("ready\n", ""):
            continue
        yield process
    finally:
        process.kill()
        process.communicate()


def stop_between_writes(process: subprocess.Popen[str], config: StoreConfig) -> None:
    """Stop a process where it does not hold SQLite's write lock: else it would hold up all."""
    other = sqlite3.connect(config.folder / "store.db", timeout=0.5, isolation_level=None)
    for _ in range(100):
        process.send_signal(signal.SIGSTOP)
        try:
            other.execute("BEGIN IMMEDIATE")
            other.execute("ROLLBACK")
            break
        except sqlite3.OperationalError:
            process.send_signal(signal.SIGCONT)
    other.close()


class Site:
    """An engine in this process, and the trainer behind it."""

    def __init__(self, config: StoreConfig, program: str, lease_s: float = 60.0) -> None:
        self.trainer = InThisProcess(config, f"{PROGRAMS}:{program}")
        settings = EngineConfig(poll_s=0.02, lease_s=lease_s)
        self.engine = LocalEngine(config, self.trainer, settings)


@pytest.fixture
async def two(config: StoreConfig) -> AsyncIterator[tuple[Site, Site]]:
    """The first one leads."""
    sites = Site(config, "wait"), Site(config, "count")
    for site in sites:
        await site.engine.ready()
    await sites[0].engine.create_stream("s", {}, "")
    yield sites
    for site in sites:
        await site.engine.close()


async def until(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(60):
        while not holds():  # noqa: ASYNC110 - threads and processes change it, no event of ours
            await asyncio.sleep(0.02)


async def ended(engine: LocalEngine, job_id: str) -> str:
    async for _ in engine.watch(job_id, 0):
        pass
    return (await engine.job(job_id)).state


async def test_what_is_asked_of_one_is_run_by_the_other_and_heard_by_both(
    two: tuple[Site, Site],
) -> None:
    leads, waits = two
    first = (await waits.engine.create_job(JOB, "")).job_id
    second = (await waits.engine.create_job(JOB, "")).job_id
    await until(lambda: leads.trainer.started == [first])
    assert (await waits.engine.wish(second, "pause")).state == "paused"
    await waits.engine.wish(first, "cancel")
    assert await ended(leads.engine, first) == "cancelled"
    assert (await leads.engine.wish(second, "cancel")).state == "cancelled"
    assert await ended(waits.engine, second) == "cancelled"
    assert waits.trainer.started == []
    heard = [event.revision async for event in waits.engine.watch(first, 0)]
    assert heard == list(range(1, len(heard) + 1))


async def test_wishes_that_race_on_two_engines_are_each_answered_once(
    two: tuple[Site, Site],
) -> None:
    leads, waits = two
    blocks = (await leads.engine.create_job(JOB, "")).job_id
    await until(lambda: leads.trainer.started == [blocks])
    jobs = [(await waits.engine.create_job(JOB, "")).job_id for _ in range(5)]
    asked = [site.engine.wish(job, "cancel") for job in jobs for site in two for _ in range(2)]
    told = await asyncio.gather(*asked)
    assert {job.state for job in told} == {"cancelled"}
    for job in jobs:
        states = [str(event.body["state"]) async for event in waits.engine.watch(job, 0)]
        assert states == ["queued", "cancelled"]
    await leads.engine.wish(blocks, "cancel")
    assert await ended(waits.engine, blocks) == "cancelled"


async def test_who_is_closed_hands_over_at_once(config: StoreConfig) -> None:
    first, second = Site(config, "count"), Site(config, "count")
    await first.engine.ready()
    await second.engine.ready()
    await first.engine.create_stream("s", {}, "")
    await first.engine.close()
    job = (await second.engine.create_job(JOB, "")).job_id
    assert await ended(second.engine, job) == "succeeded"
    assert (first.trainer.started, second.trainer.started) == ([], [job])
    await second.engine.close()


async def test_who_drains_does_not_take_up_what_another_lets_go(config: StoreConfig) -> None:
    first, second, third = (Site(config, "count", lease_s=0.1) for _ in range(3))
    for site in (first, second):
        await site.engine.ready()
    await first.engine.create_stream("s", {}, "")
    second.engine.drain()
    await first.engine.close()
    job = (await second.engine.create_job(JOB, "")).job_id
    await asyncio.sleep(0.5)
    assert (await second.engine.job(job)).state == "queued"
    await third.engine.ready()
    assert await ended(second.engine, job) == "succeeded"
    assert (second.trainer.started, third.trainer.started) == ([], [job])
    for site in (second, third):
        await site.engine.close()


async def test_who_is_killed_is_replaced_at_once_and_its_job_is_taken_up(
    config: StoreConfig,
) -> None:
    with another(config, 60.0) as leads:
        waits = Site(config, "count")
        await waits.engine.ready()
        await waits.engine.create_stream("s", {}, "")
        job = (await waits.engine.create_job(JOB, "")).job_id
        with Store.open(config) as store:
            await until(lambda: store.catalogue.jobs.get(job).revision >= 3)  # it runs
            (store.job_folder(job) / "checkpoint.json").write_text("{}")
        assert waits.trainer.started == []
        leads.kill()
        leads.wait()
        assert await ended(waits.engine, job) == "succeeded"
        assert waits.trainer.started == [job]
        await waits.engine.close()


async def test_who_was_stopped_is_replaced_and_then_moves_nothing(config: StoreConfig) -> None:
    with another(config, 1.0) as leads, Store.open(config) as store:
        waits = Site(config, "count", lease_s=1.0)
        await waits.engine.ready()
        await waits.engine.create_stream("s", {}, "")
        job = (await waits.engine.create_job(JOB, "")).job_id
        await until(lambda: store.catalogue.jobs.get(job).revision >= 3)
        (store.job_folder(job) / "checkpoint.json").write_text("{}")
        stop_between_writes(leads, config)
        assert await ended(waits.engine, job) == "succeeded"
        before = store.catalogue.jobs.get(job)
        leads.send_signal(signal.SIGCONT)
        other = (await waits.engine.create_job(JOB, "")).job_id
        assert await ended(waits.engine, other) == "succeeded"
        await asyncio.sleep(0.5)  # it looks at its lease again
        assert store.catalogue.jobs.get(job) == before
        assert store.leases.get(HANDING_OUT).term == 2
        assert leads.poll() is None
        await waits.engine.close()


def test_only_a_process_that_can_be_looked_for_is_known_to_have_ended(config: StoreConfig) -> None:
    with Store.open(config) as store:
        with another(config, 60.0):
            holder = store.leases.get(HANDING_OUT).holder
            assert not has_ended(holder)
        assert has_ended(holder)
    assert not has_ended(f"elsewhere {holder}")
    assert not has_ended("words that no process of ours wrote")

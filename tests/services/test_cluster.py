"""Training on a real Ray: jobs run, fail, are resumed and cancelled, and nothing is left behind."""

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from rankspace.errors import InvalidInput, Refused
from rankspace.media.sample import Sample
from rankspace.store.config import S3Config, StoreConfig
from rankspace.store.entries import ENDED, Job
from rankspace.store.store import Store
from services.cluster import ClusterConfig, RayTrainer
from services.cluster.performing import fail, perform
from services.cluster.trainer import _prepare
from tests.s3 import S3
from tests.worlds import part

PROGRAMS = "tests.services.programs"


@pytest.fixture
def config() -> Iterator[StoreConfig]:
    """A folder whose name is short enough for sockets."""
    with TemporaryDirectory(prefix="rs-") as folder:
        yield StoreConfig(folder=Path(folder))


@pytest.fixture
def store(config: StoreConfig) -> Iterator[Store]:
    with Store.open(config) as opened:
        yield opened


def queued(store: Store, workers: int = 1) -> str:
    """A job that asks for so many workers."""
    return store.catalogue.jobs.create("", {"streams": ["s"], "workers": workers}).job_id


async def until(holds: Callable[[], bool]) -> None:
    while not holds():  # noqa: ASYNC110 - other processes change it, no event of ours does
        await asyncio.sleep(0.05)


async def ended(store: Store, job_id: str) -> Job:
    await until(lambda: store.catalogue.jobs.get(job_id).state in ENDED)
    return store.catalogue.jobs.get(job_id)


def processes_with(text: str, command: str = "") -> list[int]:
    """Running processes that mention a text in their command line or environment."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            line = (folder / "cmdline").read_bytes()
            words = line + (folder / "environ").read_bytes()
            state = (folder / "stat").read_text().rpartition(")")[2].split()[0]
        except OSError:
            continue  # it has ended meanwhile, or is not ours
        if text.encode() in words and command.encode() in line and state != "Z":
            found.append(int(folder.name))
    return found


async def nothing_left(folder: Path) -> None:
    """All of Ray knows the token in the store's folder; wait until no such process is there."""
    async with asyncio.timeout(20):
        await until(lambda: not processes_with(f"{folder}/ray"))


def outside_loopback(folder: Path) -> set[str]:
    """Addresses other than loopback on which processes of this Ray listen."""
    sockets = set()
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if f"{folder}/ray".encode() not in (process / "environ").read_bytes():
                continue
            links = [str(link.readlink()) for link in (process / "fd").iterdir()]
        except OSError:
            continue
        sockets |= {link[8:-1] for link in links if link.startswith("socket:[")}
    rows = [
        line.split()
        for table in ("tcp", "tcp6")
        for line in Path("/proc/net", table).read_text().splitlines()[1:]
    ]
    listening = {row[1].rpartition(":")[0] for row in rows if row[3] == "0A" and row[9] in sockets}
    assert listening, "Ray listens somewhere"
    return listening - {"0100007F", "0000000000000000FFFF00000100007F"}


@pytest.mark.cluster
@pytest.mark.timeout(180)
async def test_jobs_run_on_a_ray_of_their_own_and_nothing_is_left(
    store: Store, config: StoreConfig
) -> None:
    trainer = RayTrainer(config, ClusterConfig(cpus=2), f"{PROGRAMS}:count")
    job = queued(store)
    await trainer.start(job)
    assert (await ended(store, job)).state == "succeeded"
    first, *_, last = store.catalogue.jobs.events(job)
    process, threads, named = str(first.body["message"]).split()
    assert (threads, named) == ("2", job)
    assert int(process) != os.getpid()
    assert last.body["message"] == f"0 of 1 in {config.folder}"
    assert outside_loopback(config.folder) == set()
    with pytest.raises(Refused, match="2 cores"):
        await trainer.start(queued(store, workers=3))
    await trainer.close()
    await nothing_left(config.folder)
    assert list(config.folder.glob("ray-*")) == []


def test_a_folder_too_long_for_sockets_is_replaced(tmp_path: Path) -> None:
    short = _prepare(tmp_path / ("x" * 60))
    assert len(str(short)) < 40
    short.rmdir()


@pytest.fixture
async def trainer(config: StoreConfig, request: pytest.FixtureRequest) -> AsyncIterator[RayTrainer]:
    made = RayTrainer(config, ClusterConfig(cpus=2), f"{PROGRAMS}:{request.param}")
    yield made
    await made.close()
    await nothing_left(config.folder)


@pytest.mark.cluster
@pytest.mark.timeout(180)
@pytest.mark.parametrize("trainer", ["add"], indirect=True)
async def test_two_workers_are_one_group(store: Store, trainer: RayTrainer) -> None:
    job = queued(store, workers=2)
    await trainer.start(job)
    done = await ended(store, job)
    assert done.last_event is not None
    assert done.last_event["metrics"] == {"total": 3.0, "world": 2.0}


@pytest.mark.cluster
@pytest.mark.slow
@pytest.mark.timeout(180)
async def test_a_worker_reads_and_decodes_what_lies_in_a_bucket(
    config: StoreConfig, s3: S3
) -> None:
    reach = S3Config(endpoint=s3.endpoint, region="us-east-1", inline_bytes_max=16)
    there = config.model_copy(update={"s3": reach, "blobs": f"s3://{s3.fresh()}/media"})
    pictures = [Sample(f"p{seed}", (part("image", seed),)) for seed in range(5)]
    size = sum(len(each.parts[0].data) for each in pictures)
    with Store.open(there) as store:
        store.log.create("s")
        store.log.append("s", 0, pictures)
        trainer = RayTrainer(there, ClusterConfig(cpus=2), f"{PROGRAMS}:read")
        job = queued(store)
        await trainer.start(job)
        done = await ended(store, job)
        await trainer.close()
    assert done.last_event is not None
    assert (done.state, done.last_event["message"]) == ("succeeded", f"5 parts of {size} bytes")
    assert not (config.folder / "blobs").exists()
    await nothing_left(config.folder)


@pytest.mark.cluster
@pytest.mark.timeout(180)
@pytest.mark.parametrize("trainer", ["die_once"], indirect=True)
async def test_a_job_whose_worker_dies_goes_on(store: Store, trainer: RayTrainer) -> None:
    job = queued(store)
    await trainer.start(job)
    assert (await ended(store, job)).state == "succeeded"
    steps = [event.body["step"] for event in store.catalogue.jobs.events(job)]
    assert steps == [1, 2, 0]


@pytest.mark.cluster
@pytest.mark.timeout(180)
@pytest.mark.parametrize("trainer", ["wait"], indirect=True)
async def test_a_driver_that_is_killed_fails_its_job_and_the_next_job_has_another(
    store: Store, config: StoreConfig, trainer: RayTrainer
) -> None:
    job = queued(store)
    await trainer.start(job)
    await until(lambda: store.catalogue.jobs.get(job).revision > 0)
    (driver,) = processes_with(f"{config.folder}/ray", "services.cluster.driver")
    os.kill(driver, signal.SIGKILL)
    assert (await ended(store, job)).state == "failed"
    await nothing_left(config.folder)
    other = queued(store)
    await trainer.start(other)
    await until(lambda: store.catalogue.jobs.get(other).revision > 0)
    store.catalogue.jobs.set_wish(other, "cancel")
    assert (await ended(store, other)).state == "cancelled"


SERVER = """
import asyncio, sys
from pathlib import Path
from rankspace.store.config import StoreConfig
from services.cluster import ClusterConfig, RayTrainer

async def main():
    trainer = RayTrainer(StoreConfig(folder=Path(sys.argv[1])), None, sys.argv[2])
    await trainer.start(sys.argv[3])
    await asyncio.sleep(100)

asyncio.run(main())
"""


@pytest.mark.cluster
@pytest.mark.timeout(180)
async def test_a_server_that_is_killed_takes_ray_with_it_and_its_job_stays_running(
    store: Store, config: StoreConfig
) -> None:
    job = queued(store)
    arguments = [str(config.folder), f"{PROGRAMS}:wait", job]
    server = await asyncio.create_subprocess_exec(sys.executable, "-c", SERVER, *arguments)
    await until(lambda: store.catalogue.jobs.get(job).revision > 0)
    server.kill()
    await server.wait()
    await nothing_left(config.folder)
    assert store.catalogue.jobs.get(job).state == "running"


def test_what_the_library_refuses_ends_the_job(store: Store, config: StoreConfig) -> None:
    job = queued(store)
    perform(config, job, 0, 1, f"{PROGRAMS}:refuse")
    event = store.catalogue.jobs.get(job).last_event
    assert event is not None
    assert event["state"] == "failed"
    assert event["message"] == "the stream has no samples that could train"


def test_a_bug_ends_the_job_without_telling_its_insides(store: Store, config: StoreConfig) -> None:
    job = queued(store)
    with pytest.raises(ZeroDivisionError):
        perform(config, job, 0, 1, f"{PROGRAMS}:err")
    event = store.catalogue.jobs.get(job).last_event
    assert event is not None
    assert "Zero" not in event["message"]


def test_what_one_of_several_workers_refuses_stops_the_others(
    store: Store, config: StoreConfig
) -> None:
    job = queued(store, workers=2)
    with pytest.raises(InvalidInput):
        perform(config, job, 1, 2, f"{PROGRAMS}:refuse")
    assert store.catalogue.jobs.get(job).state == "failed"


def test_the_first_reason_of_a_failure_is_kept(store: Store) -> None:
    job = queued(store)
    for message in ("the first", "the second"):
        fail(store, job, message)
    (event,) = store.catalogue.jobs.events(job)
    assert event.body["message"] == "the first"


def test_among_workers_an_error_may_be_the_echo_of_a_death(
    store: Store, config: StoreConfig
) -> None:
    job = queued(store, workers=2)
    with pytest.raises(ZeroDivisionError):
        perform(config, job, 0, 2, f"{PROGRAMS}:err")
    assert store.catalogue.jobs.get(job).state == "running"


def test_a_job_that_has_ended_is_not_run_again(store: Store, config: StoreConfig) -> None:
    job = queued(store)
    for _ in range(2):
        perform(config, job, 0, 1, f"{PROGRAMS}:count")
    assert store.catalogue.jobs.get(job).revision == 4


def test_only_the_first_worker_writes_events_down(store: Store, config: StoreConfig) -> None:
    job = queued(store, workers=2)
    perform(config, job, 1, 2, f"{PROGRAMS}:count")
    assert store.catalogue.jobs.get(job).revision == 0


def test_importing_the_trainer_imports_neither_ray_nor_torch() -> None:
    code = "import sys, services.cluster; print({'ray', 'torch'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"

"""The driver: the process that starts Ray and hands it jobs; the only file that imports ray.

On one machine ("local") Ray is kept private and small. Its ports are on loopback and ask for a
token made for this start. `DataParallelTrainer` stands in for `TorchTrainer`, which would import
torch in driver and controller too; the process group is made in `work`. And `_small_trainer` leaves
out what serves only Ray Data, autoscaling and clusters of many nodes.

Measured with Ray 2.60, one worker: 10 CPU seconds to the first line of `work` and 0.9 GB in all
processes (1.2 GB once the worker has imported torch), against 25 and 2.3 GB with TorchTrainer.
"""

import json
import logging
import os
import shlex
import shutil
import socket
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import timedelta
from pathlib import Path
from typing import Any, TextIO

import ray
import ray.train
from ray.train.collective import broadcast_from_rank_zero
from ray.train.v2._internal.callbacks import DatasetsCallback
from ray.train.v2._internal.callbacks.placement_group_callback import PlacementGroupCleanerCallback
from ray.train.v2._internal.execution.scaling_policy import FixedScalingPolicy
from ray.train.v2.api.config import FailureConfig, RunConfig, ScalingConfig
from ray.train.v2.api.data_parallel_trainer import DataParallelTrainer

from rankspace.store.config import StoreConfig
from rankspace.store.store import Store
from rankspace.training.job import JobConfig
from services.cluster.config import ClusterConfig
from services.cluster.performing import fail, perform
from services.cluster.trainer import end_session

DOWN_S = 5.0
"""How long Ray may take to come down after its server died before its processes are killed."""

GROUP_TIMEOUT = timedelta(minutes=10)
"""How long a worker waits for another before it takes it for dead."""


def drive() -> None:
    """Start Ray, then a job for every line of input; take Ray down when the input ends."""
    threading.Thread(target=_outlive, args=(os.getppid(),), daemon=True).start()
    settings = json.loads(sys.stdin.readline())
    with suppress(BrokenPipeError):  # the server is gone: nobody waits for an answer
        _serve(settings)
    shutil.rmtree(settings["folder"], ignore_errors=True)
    os._exit(0)  # threads may still wait for jobs of the Ray that is gone


def _outlive(server: int) -> None:
    """Kill all of Ray soon after the server has died, whatever Ray is doing then."""
    while os.getppid() == server:
        time.sleep(0.5)
    time.sleep(DOWN_S)
    end_session(os.getpid())


def _serve(settings: dict[str, Any]) -> None:
    """Answer every line, the first for Ray itself, with what keeps it from running or nothing."""
    cluster = ClusterConfig.model_validate(settings["cluster"])
    store = StoreConfig.model_validate_json(json.dumps(settings["store"]))
    stopping = threading.Event()
    with os.fdopen(os.dup(1), "w", buffering=1) as answers:
        os.dup2(2, 1)  # what Ray prints is for the log
        with _ray(cluster, settings["folder"]):
            _answer(answers, "")
            for line in sys.stdin:
                job = {**json.loads(line), **settings}
                trainer = _trainer(store, cluster, job)
                if isinstance(trainer, DataParallelTrainer):
                    arguments = trainer, store, job, stopping
                    threading.Thread(target=_fit, args=arguments, daemon=True).start()
                _answer(answers, trainer if isinstance(trainer, str) else "")
            stopping.set()


def _answer(answers: TextIO, problem: str) -> None:
    answers.write(json.dumps(problem) + "\n")


@contextmanager
def _ray(cluster: ClusterConfig, folder: str) -> Iterator[None]:
    quiet: dict[str, Any] = {"log_to_driver": False, "logging_level": logging.WARNING}
    if cluster.address != "local":
        ray.init(cluster.address, **quiet)
    else:
        ray.init(
            "local",
            num_cpus=_cpus(cluster),
            object_store_memory=cluster.object_store_bytes,
            include_dashboard=False,
            _node_ip_address="127.0.0.1",
            _temp_dir=folder,
            _system_config={"prestart_worker_first_driver": False},
            # Ray hands this to a shell; unquoted, a space in the path of Python would end the job.
            runtime_env={"py_executable": shlex.quote(sys.executable)},
            **quiet,
        )
    try:
        yield
    finally:
        ray.shutdown()


def _cpus(cluster: ClusterConfig) -> int:
    return cluster.cpus or os.cpu_count() or 1


def _trainer(
    store: StoreConfig, cluster: ClusterConfig, job: dict[str, Any]
) -> DataParallelTrainer | str:
    """What runs a job, or what keeps it from running."""
    with Store.open(store) as opened:
        config = opened.catalogue.jobs.get(job["job"]).config
        workers = JobConfig.model_validate_json(json.dumps(dict(config))).workers
    local = cluster.address == "local"
    if local and workers > _cpus(cluster):
        return f"the job asks for {workers} workers and this machine has {_cpus(cluster)} cores"
    threads = _cpus(cluster) // workers if local else 1
    run: Any = RunConfig(  # Any: the type checker takes it for that of an older Ray
        name=job["job"],
        storage_path=str(Path(job["folder"]) / "runs"),
        failure_config=FailureConfig(max_failures=cluster.failures_max),
        worker_runtime_env={"env_vars": _worker_environment(threads, local)},
    )
    return (_small_trainer() if local else DataParallelTrainer)(
        work,
        train_loop_config=job,
        scaling_config=ScalingConfig(num_workers=workers, resources_per_worker={"CPU": threads}),
        run_config=run,
    )


def _worker_environment(threads: int, local: bool) -> dict[str, str]:
    interface = {"GLOO_SOCKET_IFNAME": "lo"} if local else {}
    # Passive: threads that wait by spinning made a step four times slower beside another process.
    # Few arenas and few prepared products: a worker that meets many shapes would keep them all.
    lean = {"MALLOC_ARENA_MAX": "2", "ONEDNN_PRIMITIVE_CACHE_CAPACITY": "256"}
    return {"OMP_NUM_THREADS": str(threads), "OMP_WAIT_POLICY": "PASSIVE", **lean, **interface}


def _fit(
    trainer: DataParallelTrainer, store: StoreConfig, job: dict[str, Any], stopping: threading.Event
) -> None:
    """Let Ray run a job to its end; a job that Ray has given up has failed.

    Not so when Ray is being stopped: then the job goes on with the next server.
    """
    message = "the workers died again and again, the last time before they could say why"
    try:
        trainer.fit()
    except (ray.train.TrainingFailedError, ray.exceptions.RayError):
        if stopping.is_set():
            return
        logging.getLogger(__name__).exception("job %s", job["job"])
        with Store.open(store) as opened:
            fail(opened, job["job"], message, job["term"])


def work(job: dict[str, Any]) -> None:
    """What every worker process of a job runs."""
    context = ray.train.get_context()
    rank, world = context.get_world_rank(), context.get_world_size()
    store = StoreConfig.model_validate_json(json.dumps(job["store"]))
    with _process_group(rank, world):
        perform(store, job["job"], rank, world, job["program"], job["term"])


@contextmanager
def _process_group(rank: int, world: int) -> Iterator[None]:
    """The workers of a job, joined for `torch.distributed`; one alone needs no group."""
    if world == 1:
        yield
        return
    from torch import distributed

    place = _free_place() if rank == 0 else ""
    distributed.init_process_group(
        "gloo",
        init_method=f"tcp://{broadcast_from_rank_zero(place)}",
        rank=rank,
        world_size=world,
        timeout=GROUP_TIMEOUT,
    )
    try:
        yield
    finally:
        distributed.destroy_process_group()


def _free_place() -> str:
    """Where the first worker listens for the others, as host:port."""
    host = ray.util.get_node_ip_address()  # type: ignore[no-untyped-call]
    with socket.socket() as listener:
        listener.bind((host, 0))
        return f"{host}:{listener.getsockname()[1]}"


def _small_trainer() -> type[DataParallelTrainer]:
    """Ray's trainer without helpers that one machine without Ray Data never needs."""

    class FixedScaling(FixedScalingPolicy):
        """Does not ask an autoscaler for machines."""

        def after_controller_start(self, train_run_context: object) -> None:
            """Ask for nothing."""

        def _maybe_send_resource_request(self) -> None:
            """Ask for nothing."""

    class SmallTrainer(DataParallelTrainer):
        """No data sets, no guard of placement groups that would outlive this Ray."""

        def _create_default_callbacks(self) -> list[Any]:
            unused = (DatasetsCallback, PlacementGroupCleanerCallback)
            found = super()._create_default_callbacks()
            return [callback for callback in found if not isinstance(callback, unused)]

        def _initialize_and_run_controller(self, **parts: Any) -> Any:
            parts["scaling_policy"] = FixedScaling(parts["scaling_policy"].scaling_config)
            return super()._initialize_and_run_controller(**parts)

    return SmallTrainer

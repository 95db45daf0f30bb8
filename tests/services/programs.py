"""What workers run in the tests of the cluster, in place of training."""

import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from rankspace.errors import InvalidInput
from rankspace.media.decode import Decode
from rankspace.store.config import StoreConfig
from rankspace.store.entries import Wish
from rankspace.store.store import Store
from rankspace.training.job import Event


def count(
    store: StoreConfig, job_id: str, rank: int, world: int, wish: Callable[[], Wish], _: Decode
) -> Iterator[Event]:
    """Report a few steps, then success; say in which process and with how many threads."""
    message = f"{os.getpid()} {os.environ.get('OMP_NUM_THREADS', 'any')} {job_id}"
    for step in range(3):
        yield Event(phase="training", step=step, steps=3, message=message)
    yield Event(phase="done", state="succeeded", message=f"{rank} of {world} in {store.folder}")


def wait(
    _store: StoreConfig,
    _job_id: str,
    _rank: int,
    _world: int,
    wish: Callable[[], Wish],
    _decode: Decode,
) -> Iterator[Event]:
    """Go on until somebody wishes otherwise."""
    yield Event(phase="training")
    while wish() == "run":
        time.sleep(0.05)
    yield Event(phase="done", state="cancelled")


def refuse(*_: object) -> Iterator[Event]:
    """Find that the job can never work."""
    yield Event(phase="snapshot")
    raise InvalidInput("the stream has no samples that could train", "streams")


def err(*_: object) -> Iterator[Event]:
    """Meet a bug."""
    yield Event(phase="snapshot")
    raise ZeroDivisionError


def die_once(
    store: StoreConfig,
    job_id: str,
    _rank: int,
    _world: int,
    _wish: Callable[[], Wish],
    _decode: Decode,
) -> Iterator[Event]:
    """Die midway the first time; the second time go on from what was saved."""
    saved = Path(store.folder) / "jobs" / job_id / "checkpoint"
    if not saved.exists():
        saved.parent.mkdir(parents=True)
        saved.write_text("1")
        yield Event(phase="training", step=1)
        os._exit(1)
    yield Event(phase="training", step=2, message="resumed")
    yield Event(phase="done", state="succeeded")


def read(
    store: StoreConfig,
    job_id: str,
    _rank: int,
    _world: int,
    _wish: Callable[[], Wish],
    decode: Decode,
) -> Iterator[Event]:
    """Read all samples of the stream s and decode what they hold."""
    with Store.open(store) as opened:
        found = [part for _, sample in opened.log.read("s") for part in sample.parts]
    clips = [decode(part) for part in found]
    message = f"{len(clips)} parts of {sum(len(part.data) for part in found)} bytes"
    yield Event(phase="done", state="succeeded", message=message)


def add(
    _store: StoreConfig,
    _job_id: str,
    rank: int,
    world: int,
    _wish: Callable[[], Wish],
    _decode: Decode,
) -> Iterator[Event]:
    """Add up ranks over all workers."""
    import torch

    total = torch.tensor(float(rank + 1))
    torch.distributed.all_reduce(total)
    yield Event(phase="done", state="succeeded", metrics={"total": total.item(), "world": world})

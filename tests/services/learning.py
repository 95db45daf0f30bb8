"""What workers run in tests of learning together: a job, of which each leaves what it has."""

from collections.abc import Callable, Iterator
from typing import Any

import torch

from rankspace.media.decode import Decode
from rankspace.store.config import StoreConfig
from rankspace.store.entries import Wish
from rankspace.store.store import Store
from rankspace.training.job import Event
from rankspace.training.run import Run
from rankspace.training.work import Work


def learn(
    store: StoreConfig,
    job_id: str,
    rank: int,
    world: int,
    wish: Callable[[], Wish],
    decode: Decode,
) -> Iterator[Event]:
    """Learn; every worker leaves the state of its network in the folder of the job."""
    with Store.open(store) as opened:
        yield from _Leaving(opened, job_id, rank, world, decode).events(wish)


class _Leaving(Run):
    def _save(self, work: Work, *rest: Any) -> Iterator[Event]:
        work.learner.average.swap()
        state = work.learner.network.state_dict()
        torch.save(state, self._store.job_folder(self._job_id) / f"{self._rank}.pt")
        work.learner.average.swap()
        self._wait()  # nobody says that the job is done before all have left theirs
        yield from super()._save(work, *rest)

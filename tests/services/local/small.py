"""What tests of the engine share: a small job, samples to learn, a trainer in this process."""

import asyncio

from rankspace.media.sample import Part, Sample
from rankspace.store.config import StoreConfig
from rankspace.training.job import JobConfig
from services.cluster.performing import perform

PROGRAMS = "tests.services.programs"
JOB = JobConfig(
    streams=("s",), steps=3, size="tiny", context=32, batch_symbols=256, evaluate_every=3
)


class InThisProcess:
    """A trainer that performs jobs in threads of this process."""

    def __init__(self, store: StoreConfig, program: str) -> None:
        self._store = store
        self._program = program
        self.started: list[str] = []
        self._tasks: list[asyncio.Task[None]] = []

    async def start(self, job_id: str, term: int) -> None:
        self.started.append(job_id)
        arguments = self._store, job_id, 0, 1, self._program, term
        self._tasks.append(asyncio.create_task(asyncio.to_thread(perform, *arguments)))

    async def close(self) -> None:
        await asyncio.gather(*self._tasks)


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

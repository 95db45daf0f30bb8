"""A job from its snapshot to a registered model, as an iterator of events.

    snapshot → codecs → tokens → counts → training (evaluating) → saving → done

Everything but the snapshot follows from the job's config, so a job that stopped goes on from its
last checkpoint with the same draws. Only rank 0 prepares and saves; the others wait for it.
"""

import shutil
from collections.abc import Callable, Iterator
from typing import get_args

import torch
import torch.distributed as dist

from rankspace.config import parse
from rankspace.errors import Refused
from rankspace.media.decode import Decode
from rankspace.model import folder as model_folder
from rankspace.store.config import StoreConfig
from rankspace.store.entries import Wish
from rankspace.store.snapshots import Snapshot, take
from rankspace.store.store import Store
from rankspace.store.tokens import TokenSample
from rankspace.training.job import Event, JobConfig
from rankspace.training.prepare import Preparation
from rankspace.training.work import Work, stopped

SNAPSHOT = "snapshot.json"
Place = tuple[str, int]
"""A stream and an offset in it."""

WISHES: tuple[Wish, ...] = get_args(Wish)


def run(
    store: StoreConfig,
    job_id: str,
    rank: int,
    world: int,
    wish: Callable[[], Wish],
    decode: Decode | None = None,
) -> Iterator[Event]:
    """Run a job; stops with an event that says so when the wish is no longer "run".

    Who trains on what strangers sent decodes where that does no harm.
    """
    with Store.open(store) as opened:
        job = Run(opened, job_id, rank, world, decode)
        yield from job.events(wish)


class Run:
    """One worker's part in a job."""

    def __init__(
        self, store: Store, job_id: str, rank: int, world: int, decode: Decode | None = None
    ) -> None:
        self._store = store
        self._decode = decode
        self._rank = rank
        self._world = world
        self._job_id = job_id
        self.config = parse(JobConfig, dict(store.catalogue.jobs.get(job_id).config))
        self._folder = store.job_folder(job_id)

    def events(self, wish: Callable[[], Wish]) -> Iterator[Event]:
        """All of it."""
        torch.manual_seed(self.config.seed)
        yield Event(phase="snapshot", steps=self.config.steps)
        snapshot = self._snapshot()
        preparation = Preparation(self._store, snapshot, self.config, self._decode)
        for event in preparation.events(self._rank == 0, self._wait):
            yield event
            if self._world == 1 and wish() != "run":
                yield stopped(wish(), event)
                return
        space = preparation.space
        if space is None:
            raise Refused("the preparation ended early; submit the job again")
        rows, held, answers = self._rows(preparation)
        work = Work(self.config, space, rows, held, answers)
        for event in work.train(self._folder, lambda: self._asked(wish), self._rank, self._world):
            yield event
            if event.state != "running":
                return
        yield from self._save(work, snapshot, preparation)

    def _snapshot(self) -> Snapshot:
        """What the job learns from: taken once, kept for when it goes on."""
        path = self._folder / SNAPSHOT
        if not path.exists() and self._rank == 0:
            path.write_text(take(self._store.log, self.config.streams).model_dump_json(), "utf-8")
        self._wait()
        return Snapshot.model_validate_json(path.read_bytes())

    def _asked(self, wish: Callable[[], Wish]) -> Wish:
        """What rank 0 was asked: workers that stopped at different steps would wait for ever."""
        if self._world == 1 or not dist.is_initialized():
            return wish()
        heard = torch.tensor([WISHES.index(wish())])
        dist.broadcast(heard, 0)
        return WISHES[int(heard)]

    def _wait(self) -> None:
        if dist.is_initialized() and self._world > 1:
            dist.barrier()

    def _rows(
        self, preparation: Preparation
    ) -> tuple[list[list[TokenSample]], list[list[TokenSample]], dict[Place, TokenSample]]:
        """By source: rows that train, and rows that do not; and the plain row of each sample."""
        at = {stream: index for index, stream in enumerate(self.config.streams)}
        rows: list[list[TokenSample]] = [[] for _ in at]
        held: list[list[TokenSample]] = [[] for _ in at]
        answers: dict[Place, TokenSample] = {}
        for row in preparation.cache():
            answers.setdefault((row.stream, row.offset), row)  # the first of a sample is plain
            (rows if row.split == "train" else held)[at[row.stream]].append(row)
        empty = [name for name, found in zip(at, rows, strict=True) if not found]
        if empty:
            raise Refused(
                f"nothing to train on in {', '.join(empty)}; append samples or leave it out"
            )
        return rows, held, answers

    def _save(self, work: Work, snapshot: Snapshot, preparation: Preparation) -> Iterator[Event]:
        yield work.event(phase="saving")
        if self._rank == 0:
            folder = self._folder / "model"
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir(parents=True)
            work.learner.average.swap()
            model_folder.save(folder, work.learner.network, work.space)
            lineage = {
                "job": self._job_id,
                "snapshot": snapshot.model_dump(mode="json"),
                "config": self.config.model_dump(mode="json"),
                "metrics": work.metrics,
                "targets": [
                    {"modality": modality, "role": role}
                    for modality, role in work.space.vocabulary.config.kinds
                ],
                "skipped_parts": preparation.skipped,
            }
            version = self._store.catalogue.models.register(self.config.model, folder, lineage)
            if self.config.alias:
                self._store.catalogue.aliases.promote(self.config.alias, version.reference)
            shutil.rmtree(folder, ignore_errors=True)
            message = f"registered as {version.reference}"
            yield work.event(phase="done", state="succeeded", progress=1.0, message=message)
        self._wait()

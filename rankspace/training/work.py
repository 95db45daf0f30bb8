"""The training of one job: network, feed, balance and figures, step by step.

Events come out; nothing else leaves until the caller saves what was learnt.
"""

import math
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import numpy as np
import torch
import torch.distributed as dist

from rankspace.errors import Refused
from rankspace.model import folder as model_folder
from rankspace.model.birth import from_statistics
from rankspace.model.network import Network
from rankspace.model.presets import Shape, network
from rankspace.model.readout import Readout
from rankspace.ranks.coordinate import GRID
from rankspace.ranks.space import Space
from rankspace.store.entries import Wish
from rankspace.store.tokens import TokenSample
from rankspace.training import checkpoint, trust
from rankspace.training.balance import Balance
from rankspace.training.batches import Batch
from rankspace.training.checkpoint import Progress
from rankspace.training.documents import Document, Documents
from rankspace.training.job import Event, JobConfig
from rankspace.training.loop import Feed, Learner, gate
from rankspace.training.measure import Measures, batches, measure, prior_cross_entropy
from rankspace.training.vitals import vitals

REPORT_EVERY = 10
HELD_OUT = 96
"""Documents of each source that a measurement looks at while training."""

HELD_OUT_LAST = 256
"""And at its end."""

UNHEARD = (
    "a memory that is held needs samples to be trusted by: label some split=valid, "
    "or choose another form of memory"
)

MEASURED = 1024
"""Symbols that are measured at once: few, so that measuring takes less memory than learning."""


class Work:
    """The training itself: network, feed, balance and figures."""

    def __init__(
        self,
        config: JobConfig,
        space: Space,
        rows: list[list[TokenSample]],
        held: list[list[TokenSample]],
        answers: Mapping[tuple[str, int], TokenSample],
    ) -> None:
        self.config = config
        self.space = space
        shape = Shape(
            vocabulary=space.vocabulary.size,
            context=config.context,
            features=space.features.shape[1],
            places=space.places,
            rank_buckets=GRID.buckets,
        )
        made = network(config.preset, config.size, shape, **config.switches)
        self.readout = Readout(space)
        self.learner = Learner(
            Network(made, model_folder.features(made, space)), self.readout, config
        )
        from_statistics(self.learner.network, space)
        documents = Documents(space, config.context)
        self._feed = Feed(documents, rows, config, answers)
        self._balance = Balance(config.streams, config.weights)
        self._held = [_held_out(documents, source, found) for source, found in enumerate(held)]
        if made.memory == "held" and not any(self._held):
            raise Refused(UNHEARD)
        self._progress = Progress()
        self._losses: dict[str, float] = {}
        self._loss: float | None = None
        self._held_out: float | None = None
        self._warnings: tuple[str, ...] = ()
        self._speed = self._eta = 0.0

    @property
    def metrics(self) -> dict[str, float]:
        """Figures by name."""
        return dict(self._progress.metrics)

    def event(self, **fields: object) -> Event:
        """An event with all that is known now."""
        known = {
            "step": self._progress.step,
            "steps": self.config.steps,
            "loss": self._loss,
            "held_out_loss": self._held_out,
            "source_losses": self._losses,
            "source_weights": dict(zip(self.config.streams, self._balance.weights, strict=True)),
            "betas": self._betas(),
            "metrics": self._progress.metrics,
            "symbols_per_s": self._speed,
            "eta_s": self._eta,
            "warnings": self._warnings,
        }
        return Event.model_validate(known | fields)

    def train(
        self, folder: Path, wish: Callable[[], Wish], rank: int, world: int
    ) -> Iterator[Event]:
        """From the last checkpoint, if there is one, to the last step."""
        learner, config = self.learner, self.config
        found = checkpoint.read(folder, learner.network, learner.optimizer, learner.average)
        if found:
            self._progress, self._balance = (
                found,
                Balance(config.streams, config.weights, found.balance),
            )
        else:
            yield self.event(phase="evaluating", message="birth")
            self._birth()
        started, first = time.monotonic(), self._progress.step
        symbols = 0
        while self._progress.step < config.steps and not self._ended():
            symbols += self._step(rank, world)
            step = self._progress.step
            seconds = time.monotonic() - started
            self._speed = symbols / seconds
            self._eta = (config.steps - step) * seconds / (step - first)
            if step % config.evaluate_every == 0 or step == config.steps:
                yield self.event(phase="evaluating", progress=step / config.steps)
                self._evaluate()
            asked = wish() if step % REPORT_EVERY == 0 else "run"
            if asked != "run" or step % config.checkpoint_every == 0:
                self._keep(folder, rank)
            if step % REPORT_EVERY == 0:
                yield self.event(phase="training", progress=step / config.steps)
            if asked != "run":
                yield stopped(asked, self.event(phase="training"))
                return
        told = f"final figures{self._recall()}"
        yield self.event(phase="evaluating", progress=1.0, message=told)
        self._final()

    def _step(self, rank: int, world: int) -> int:
        drawn = self._feed.batch(self._progress.step, self._balance)
        batch = self._feed.pack(drawn, rank, world)
        loss, losses = self.learner.step(batch, self._progress.step, len(self.config.streams))
        self._balance.settle(drawn.turn, losses)
        self._loss = loss if self._loss is None else 0.9 * self._loss + 0.1 * loss
        for name, nats in zip(self.config.streams, losses, strict=True):
            if not math.isnan(nats):
                self._losses[name] = 0.9 * self._losses.get(name, nats) + 0.1 * nats
        self._look(batch, rank)
        self._progress = self._progress.model_copy(update={"step": self._progress.step + 1})
        return batch.symbols * world

    def _look(self, batch: Batch, rank: int) -> None:
        """The vital signs, now and then."""
        step, every = self._progress.step, self.config.vitals_every
        if rank or not every or (step + 1) % every:
            return
        learner, heard = self.learner, gate(step, self.config.steps)
        found = vitals(learner.network, self.readout, batch, heard, learner.norm)
        finite = {f"vitals/{n}": v for n, v in found.figures.items() if math.isfinite(v)}
        known = {n: v for n, v in self._progress.metrics.items() if not n.startswith("vitals/")}
        self._progress = self._progress.model_copy(update={"metrics": known | finite})
        self._warnings = found.warnings

    def _birth(self) -> None:
        """The birth law: before the first step the network says what the memory says."""
        found = list(self._batches(HELD_OUT_LAST))
        born = measure(self.learner.network, self.readout, found, gate(0, self.config.steps))
        figures = {
            "birth_loss": born.mean,
            "prior_cross_entropy": prior_cross_entropy(self.space, found),
        }
        self._progress = self._progress.model_copy(update={"metrics": figures})

    def _evaluate(self) -> None:
        """Measure, and note the network if it is better than all before."""
        loss = agreed(self._measured(HELD_OUT).loss)
        progress = self._progress
        if math.isnan(loss):
            return
        if progress.best is not None and loss >= progress.best:
            self._progress = progress.model_copy(update={"worse": progress.worse + 1})
            return
        update = {"best": loss, "best_step": progress.step, "worse": 0}
        self._progress = progress.model_copy(update=update)
        if self.config.patience:
            self.learner.average.note()

    def _measured(self, documents: int) -> Measures:
        learner = self.learner
        learner.average.swap()
        held_out = list(self._batches(documents))
        trust.fit(learner.network, self.readout, held_out)
        found = measure(learner.network, self.readout, held_out)
        learner.average.swap()
        if not math.isnan(found.loss):
            self._held_out = found.loss
        return found

    def _recall(self) -> str:
        """Go back to the best network that was noted; what is to be said of it."""
        average, step, best = self.learner.average, self._progress.step, self._progress.best_step
        kept = best if average.best else step
        average.recall()
        metrics = self._progress.metrics | {"kept_step": float(kept)}
        self._progress = self._progress.model_copy(update={"metrics": metrics})
        return "" if kept == step else f" of step {kept}, which is the best on held-out samples"

    def _final(self) -> None:
        found = self._measured(HELD_OUT_LAST)
        named = {
            f"held_out_loss/{self.config.streams[source]}": tally.model / max(1, tally.symbols)
            for source, tally in found.sources.items()
        }
        metrics = self._progress.metrics | found.bits() | named
        self._progress = self._progress.model_copy(update={"metrics": metrics})

    def _ended(self) -> bool:
        return 0 < self.config.patience <= self._progress.worse

    def _keep(self, folder: Path, rank: int) -> None:
        self._progress = self._progress.model_copy(update={"balance": self._balance.state})
        if rank == 0:
            learner = self.learner
            checkpoint.write(
                folder, self._progress, learner.network, learner.optimizer, learner.average
            )

    def _batches(self, documents: int) -> Iterator[Batch]:
        found = [document for held in self._held for document in held[:documents]]
        return batches(found, self.config.context, min(MEASURED, self.config.batch_symbols))

    def _betas(self) -> dict[str, float]:
        return {"mixture": self._balance.beta} | self.learner.network.betas()


def _held_out(documents: Documents, source: int, rows: list[TokenSample]) -> list[Document]:
    """The documents of a source that are measured: the same every time."""
    random = np.random.default_rng(source)
    order = random.permutation(len(rows))[:HELD_OUT_LAST]
    return [documents.draw(source, rows[at], random) for at in order]


def agreed(loss: float) -> float:
    """The first worker's: on machines that round otherwise workers would end at different steps."""
    if not dist.is_initialized() or dist.get_world_size() == 1:
        return loss
    told = torch.tensor([loss], dtype=torch.float64)
    dist.broadcast(told, 0)
    return float(told[0])


def stopped(wish: Wish, event: Event) -> Event:
    """The last event of a job that somebody asked to stop."""
    state = "cancelled" if wish == "cancel" else "paused"
    return event.model_copy(update={"state": state, "message": f"{state} as asked"})

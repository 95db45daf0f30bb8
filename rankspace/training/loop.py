"""Training is an iterator: each step draws, learns and reports; who listens is not its business.

    balance → documents → batch → network → loss per alphabet → gradient → Muon + AdamW → average

The loss of a step is the mean of -ln p weighted by part (training/documents.py). The memory's
context speaks at full strength at birth and falls silent over the first steps (`GATE`): that
keeps the head start and leaves the network no crutch.

Several workers draw the same documents and each keeps its share, so the order of samples does not
depend on how many there are. Inside, only torch.distributed is known.
"""

import math
from collections.abc import Mapping, Sequence

import numpy as np
import torch
import torch.distributed as dist

from rankspace.errors import Diverged
from rankspace.model import cross, held, trunk
from rankspace.model.experts import Experts
from rankspace.model.network import Network
from rankspace.model.readout import Readout
from rankspace.store.tokens import TokenSample
from rankspace.training.balance import Balance, Turn
from rankspace.training.batches import Asked, Batch, pack
from rankspace.training.documents import Documents, Sketch
from rankspace.training.job import JobConfig
from rankspace.training.optimizer import Average, Optimizer, factor
from rankspace.training.precision import fast, keep_freed
from rankspace.training.vitals import rows

GATE = 0.15
"""Share of the steps over which the memory's context falls silent."""

HOLD_EVERY = 4
"""Steps between two steps of the controllers of the network's betas."""

HOLD_ROWS = 2
"""Rows of a batch that they look at."""

SILENT = ("annealed", "feature", "target", "held")
"""Forms of the memory whose context says nothing to the network once the gate is shut."""

FILL = 0.95
"""Share of a batch that is filled before packing: the rest is what packing loses."""


def gate(step: int, steps: int) -> float:
    """How loudly the memory's context speaks at a step."""
    return max(0.0, 1.0 - step / max(1.0, steps * GATE))


class Learner:
    """A network and all that moves it."""

    def __init__(self, network: Network, readout: Readout, config: JobConfig) -> None:
        self.network = network
        self.readout = readout
        self.config = config
        if network.config.native:
            keep_freed()
        self.optimizer = Optimizer(network, config.preset, config.learning_rate)
        self.average = Average(network)
        self.norm = 0.0
        """Of the last gradient, before it was clipped."""

    def step(self, batch: Batch, step: int, sources: int) -> tuple[float, list[float]]:
        """Learn from a batch: its weighted loss, and each source's nats per symbol (nan: none).

        Raises Diverged, and moves no weight, if the loss or the gradient is no number.
        """
        self.network.advance(step / self.config.steps)
        loss, weight, seen = self._loss(batch, gate(step, self.config.steps), sources)
        if loss.requires_grad:  # a worker may have nothing to read
            loss.backward()
        loss = self._share(loss.detach(), weight, seen)
        self._move(step, seen)
        self.average.update(step)
        self._settle()
        if self.network.config.hold and step % HOLD_EVERY == 0:
            self._hold(batch, gate(step, self.config.steps))
        sums, counts = seen.unbind(0)
        losses = [
            s / n if n else math.nan for s, n in zip(sums.tolist(), counts.tolist(), strict=True)
        ]
        return float(loss), losses

    def _loss(
        self, batch: Batch, openness: float, sources: int
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """The loss, what it weighs, and [2, S]: nats and symbols of each source."""
        network, total, weight = self.network, torch.zeros(()), torch.zeros(())
        seen = torch.zeros(2, sources)
        with fast():
            said, unembedding = self._said(batch), network.unembedding()
            for asked in batch.asked:
                part, nats = self._part(unembedding, said, asked, openness)
                total = total + part
                weight = weight + asked.weights.sum()
                seen[0].index_add_(0, asked.sources, nats.detach())
                seen[1].index_add_(0, asked.sources, torch.ones_like(nats))
        return total / weight.clamp(min=1e-6), weight, seen

    def _said(self, batch: Batch) -> list[torch.Tensor]:
        """[B T, D]: what the blocks say together and, where they are supervised, each alone."""
        network = self.network
        if not network.config.supervise:
            return [trunk.speak(network, batch.inputs, batch.mask).flatten(0, 1)]
        states = network.states(batch.inputs, batch.mask)
        said = [network.mix(states), *map(network.alone, states[:-1])]
        return [each.flatten(0, 1) for each in said]

    def _part(
        self, unembedding: torch.Tensor, said: list[torch.Tensor], asked: Asked, openness: float
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """The weighted loss behind a door, and -ln p of its targets."""
        config, door = self.network.config, self.readout.doors[asked.door]
        silent = not openness and config.memory in SILENT and not config.soft_cap
        found = trunk.ready(config, config.context) if silent else None
        if found is None or self.network.log_beta is None or len(door.ids) > cross.ALPHABET_MAX:
            nats, told = self._nats(unembedding, said, asked, openness)
            return (told * asked.weights).sum(), nats
        told_of = (door.unigram, door.local[asked.targets], asked.weights)
        symbols, mixed = unembedding[door.ids], said[0][asked.index]
        return cross.cross(found, symbols, mixed, self.network.log_beta.exp(), told_of)

    def _nats(
        self, unembedding: torch.Tensor, said: list[torch.Tensor], asked: Asked, openness: float
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """[N] twice: -ln p of the targets, and what the loss makes of it.

        `said` is what the blocks say together and, where they are supervised, the lower ones each
        alone: all are read out in one product.
        """
        network, door, levels = self.network, asked.door, len(said)
        mixed = (
            torch.cat([level[asked.index] for level in said])
            if levels > 1
            else (said[0][asked.index])
        )
        before, targets = asked.before.repeat(levels), asked.targets.repeat(levels)
        logits = self.readout.logits(network, unembedding, door, mixed, before, openness)
        told = nats = self.readout.losses(logits, door, targets)
        if network.config.memory == "target" and openness:
            imitation = self.readout.imitation(logits, door, before)
            told = (1.0 - openness) * nats + openness * imitation
        if levels == 1:
            return nats, told
        first, *below = told.chunk(levels)
        return nats.chunk(levels)[0], first + network.config.supervise * sum(below) / len(below)

    def _move(self, step: int, seen: torch.Tensor) -> None:
        """Step along the gradient; raises Diverged if there is none, naming what caused it."""
        names, (sums, counts) = self.config.streams, seen
        lost = [name for name, nats in zip(names, sums.tolist(), strict=False) if nats - nats != 0]
        drawn = [name for name, count in zip(names, counts.tolist(), strict=False) if count]
        advice = "the weights before it are kept; lower learning_rate or look at that source"
        if lost:
            raise Diverged(f"the loss of {', '.join(lost)} is no number in step {step}: {advice}")
        try:
            self.norm = self.optimizer.step(factor(step, self.config.steps, self.config.decay))
        except Diverged as error:
            told = f"{error} in step {step}, which read {', '.join(drawn)}: {advice}"
            raise Diverged(told) from error

    def _settle(self) -> None:
        """Move the bias of experts toward even loads, the same in all workers."""
        for block in self.network.layers:
            if isinstance(block.feedforward, Experts):
                if dist.is_initialized() and dist.get_world_size() > 1:
                    dist.all_reduce(block.feedforward.load)
                block.feedforward.settle()

    @torch.no_grad()
    def _hold(self, batch: Batch, openness: float) -> None:
        """A step of the controller of every beta that is held; the first worker's is everyone's."""
        shared = dist.is_initialized() and dist.get_world_size() > 1
        if not shared or dist.get_rank() == 0:
            self._control(batch, openness)
        if shared:
            for kind in self.network.config.hold:
                for log_beta in self.network.held(kind):
                    dist.broadcast(log_beta.data, 0)

    def _control(self, batch: Batch, openness: float) -> None:
        """The same for one worker, over a few rows of its batch."""
        few, network, odds = rows(batch, HOLD_ROWS), self.network.eval(), []
        if "output" in network.config.hold:
            mixed = network.mix(network.states(few.inputs, few.mask)).flatten(0, 1)
            odds = [
                self.readout.logits(
                    network, network.unembedding(), a.door, mixed[a.index], a.before, openness
                )
                for a in few.asked
            ]
        held.control(held.measure(network, few.inputs, few.mask, odds))
        network.train()

    def _share(self, loss: torch.Tensor, weight: torch.Tensor, seen: torch.Tensor) -> torch.Tensor:
        """Make of each worker's gradient and loss those of all documents; sum what each saw.

        A gradient counts by what its share of the step weighs. A parameter of which only other
        workers have one has a gradient of zeros here.
        """
        if not dist.is_initialized() or dist.get_world_size() == 1:
            return loss
        dist.all_reduce(seen)
        parameters = list(self.network.parameters())
        grads = [p.new_zeros(p.shape) if p.grad is None else p.grad for p in parameters]
        told = torch.tensor([p.grad is not None for p in parameters], dtype=torch.float32)
        flat = torch.cat([grad.flatten() for grad in grads]) * weight
        flat = torch.cat([flat, told, (loss * weight)[None], weight[None]])
        dist.all_reduce(flat)
        *pieces, told, lost, weight = flat.split([*(g.numel() for g in grads), len(told), 1, 1])
        for parameter, piece, known in zip(parameters, pieces, told.tolist(), strict=True):
            if known:
                parameter.grad = (piece / weight.clamp(min=1e-6)).view_as(parameter)
        return (lost / weight.clamp(min=1e-6))[0]


class Feed:
    """Makes each step's batch from the rows of every source."""

    def __init__(
        self,
        documents: Documents,
        rows: Sequence[Sequence[TokenSample]],
        config: JobConfig,
        answers: Mapping[tuple[str, int], TokenSample],
    ) -> None:
        self._documents = documents
        self._rows = rows
        self._answers = answers
        self._config = config

    def batch(self, step: int, balance: Balance) -> "Drawn":
        """Sketches of the documents of a step; a pure function of (seed, step, balance)."""
        random = np.random.default_rng((self._config.seed, step))
        turn = balance.turn()
        found: list[Sketch] = []
        left = int(self._config.batch_symbols * FILL)
        while left > 0:
            source = turn.source()
            rows = self._rows[source]
            row = rows[int(random.integers(len(rows)))]
            answer = self._answers.get((row.stream, row.offset))
            sketch = self._documents.sketch(source, row, random, answer)
            turn.took(source, len(sketch))
            found.append(sketch)
            left -= len(sketch)
        return Drawn(found, turn)

    def pack(self, drawn: "Drawn", rank: int, world: int) -> Batch:
        """This worker's share of a step."""
        rows = self._config.batch_symbols // self._config.context // world
        documents = [self._documents.lay(sketch) for sketch in drawn.sketches[rank::world]]
        return pack(documents, self._config.context, rows)


class Drawn:
    """Documents of one step, and the turn they were drawn in."""

    def __init__(self, sketches: list[Sketch], turn: Turn) -> None:
        self.sketches = sketches
        self.turn = turn

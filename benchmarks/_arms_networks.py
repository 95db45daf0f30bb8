"""Our networks as arms of a benchmark, with the product's memory or another of order n.

The product's forms are in model/memory.py; of `held` the memory's side of what came is worked out
once a set of stories, and answers go the product's own way. Forms that are tried here alone are
cross-fitted by document (ranks/crossfit.py) and heard as

    add    logits = beta (U m + g (ln p0(.|c) - ln p0(.)) + ln p0(.))     g from 1 down to `floor`
    mix    p = l p0(.|c) + (1 - l) p_network,   l = sigma(w m + b), learned, near 1 at birth
    stack  the same odds, but the network learns as if it were alone and only l learns from them

All but `add`, which needs whole rows, ask the memory for one number a position: the odds of what
came.
"""

from collections.abc import Iterable
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from numpy.typing import NDArray
from torch import Tensor, nn

from benchmarks._arms import Arm, Law
from benchmarks._arms_recall import Recall, recalled
from benchmarks._arms_table import Spec
from benchmarks._text_data import Batch, Corpus, Stories
from rankspace.errors import InvalidConfig
from rankspace.model import trunk
from rankspace.model.birth import from_statistics
from rankspace.model.experts import Experts, violation
from rankspace.model.memory import unsure
from rankspace.model.network import Inputs, Network
from rankspace.model.presets import NetworkConfig
from rankspace.model.readout import Readout
from rankspace.model.shares import Known, gathered
from rankspace.ranks.coordinate import GRID, buckets
from rankspace.ranks.crossfit import CrossFit, Reading
from rankspace.ranks.rows import Rows
from rankspace.training.loop import gate
from rankspace.training.optimizer import Optimizer

FINE = 10_000

BIRTH = 3.0
"""ln of the odds l : 1 - l at birth."""

LOADS = 100
"""Steps whose loads of experts are added up for MaxVio."""


class Ours(Arm):
    """A network of ours between batches and nats."""

    def __init__(self, spec: Spec, corpus: Corpus, config: NetworkConfig, rate: float) -> None:
        self.model = self.network = Network(config)
        self.space = corpus.spaced(config.order)
        from_statistics(self.network, self.space)
        self.average, self.decay = spec.average, spec.decay
        self.spec, self.corpus = spec, corpus
        self.readout = Readout(self.space)
        self.blend = nn.Linear(config.width, 1)
        nn.init.zeros_(self.blend.weight)
        nn.init.constant_(self.blend.bias, BIRTH)
        if spec.memory in ("mix", "stack"):
            self.network.add_module("blend", self.blend)
        recipe: Any = spec.recipe or spec.preset
        self._optimizer = Optimizer(self.network, recipe, rate)
        self._counted: CrossFit | None = corpus.memory(spec.order) if spec.memory else None
        self._readings: dict[int, tuple[Stories, Reading]] = {}
        self._known: dict[int, tuple[Stories, NDArray[np.float32]]] = {}
        self._recalls: dict[int, tuple[Stories, Recall]] = {}
        self._loads: list[Tensor] = []
        self.network.advance(0.0)

    def nats(self, batch: Batch, stories: Stories, progress: float) -> Float[Tensor, "n"]:
        return self._told(batch, stories, progress)[0]

    def loss(self, batch: Batch, stories: Stories, progress: float) -> Float[Tensor, ""]:
        nats, more = self._told(batch, stories, progress)
        return nats.mean() + more

    def _told(
        self, batch: Batch, stories: Stories, progress: float
    ) -> tuple[Float[Tensor, "n"], Float[Tensor, ""] | float]:
        """-ln p of every target, and what else the switches want to fall."""
        self.network.advance(progress)  # a state that was best earlier is read as it was then
        flat = batch.targets.flatten()
        index = (flat >= 0).nonzero()[:, 0]
        said = [each[index] for each in self._said(batch.symbols)]
        before, targets = batch.symbols.flatten()[index], flat[index]
        openness = gate(int(progress * FINE), FINE)
        places = batch.places.flatten()[index].numpy()
        if self._counted is None:
            if self.network.trust.held is None or self.network.training:
                return self._alone(said, before, targets, openness)
            known, told = self.columns(said[0], before, targets, places, stories)
            heard = self.network.trust.trusted(known, list(told.T), 0.0 if progress else 1.0)
            return -heard, 0.0
        logits = self.logits(said[0], before, 0.0)
        if self.spec.memory == "add":
            added = self._added(logits, self._rows(places, stories), openness)
            return self.readout.losses(added, 0, targets), 0.0
        memory = torch.from_numpy(self._odds(stories)[places])
        own = self.readout.losses(logits, 0, targets)
        if self.spec.memory == "mix":
            return -self._mix(said[0], memory, -own), 0.0
        return -self._mix(said[0].detach(), memory, -own.detach()), own.mean()

    def _alone(
        self,
        said: list[Float[Tensor, "n d"]],
        before: Int[Tensor, "n"],
        targets: Int[Tensor, "n"],
        openness: float,
    ) -> tuple[Float[Tensor, "n"], Float[Tensor, ""] | float]:
        """The product's own losses (training/loop.py)."""
        config = self.network.config
        levels = [self.logits(mixed, before, openness) for mixed in said]
        nats, *below = (self.readout.losses(logits, 0, targets) for logits in levels)
        more: Float[Tensor, ""] | float = 0.0
        if below:
            more = config.supervise * torch.stack(below).mean()
        if config.memory == "target" and self.network.training:
            imitation = self.readout.imitation(levels[0], 0, before)
            more = more + openness * (imitation - nats).mean()
        return nats, more

    def law(self, symbols: Int[Tensor, "b t"]) -> Law:
        width = self.network.config.context
        mixed = self._said(symbols[:, -width:])[0].unflatten(0, (len(symbols), -1))[:, -1]
        ends = torch.arange(1, len(symbols) + 1) * symbols.shape[1] - 1
        before = self.readout.past(self.network, symbols, ends)
        if self._counted is None:
            odds = self.logits(mixed, before, 0.0).log_softmax(-1)
        else:
            told = [np.append(row, 2).astype(np.int32) for row in symbols.numpy()]
            reading = self._counted.read(told)
            places = np.cumsum([len(row) for row in told]) - 1
            odds = self._heard(mixed, before, self._counted.rows(places, reading))
        ids = self.readout.doors[0].ids
        whole = torch.zeros(len(symbols), self.corpus.vocabulary.size)
        whole[:, ids] = odds.exp()
        return whole

    def step(self, factor: float, progress: float) -> float:
        del progress
        norm = self._optimizer.step(factor)
        for expert in self._experts():
            expert.settle()
        if self._experts():
            self._loads.append(torch.stack([expert.load for expert in self._experts()]))
        return norm

    def memory(self, stories: Stories) -> float | None:
        config = self.network.config
        if not config.prior or self.spec.memory in ("mix", "stack"):
            return None
        if config.memory in ("feature", "target"):
            return None
        told = self.space.memory.log_probs(stories.ids).astype(np.float64)
        if self._counted is not None:
            told = self._counted.log_probs(stories.ids).astype(np.float64)
        return float(told[stories.starts].sum() - told.sum())

    def facts(self) -> dict[str, float]:
        found = {f"beta/{name}": value for name, value in self.network.betas().items()}
        if self._loads:
            whole = torch.stack(self._loads[-LOADS:]).sum(0)
            found["maxvio"] = max(violation(load) for load in whole)
            found["dead_experts"] = float((whole == 0).sum())
        return found

    def _experts(self) -> list[Experts]:
        layers = (block.feedforward for block in self.network.layers)
        return [layer for layer in layers if isinstance(layer, Experts)]

    def _heard(
        self, mixed: Float[Tensor, "n d"], before: Int[Tensor, "n *k"], rows: Rows
    ) -> Float[Tensor, "n a"]:
        """The odds of every symbol, as ln p, with a memory of order n."""
        logits = self.logits(mixed, before, 0.0)
        if self.spec.memory == "add":
            return self._added(logits, rows, 0.0).log_softmax(-1)
        table = torch.from_numpy(rows.dense())[:, self.readout.doors[0].ids].log_softmax(-1)
        return self._mix(mixed, table, logits.log_softmax(-1))

    def _mix(
        self, mixed: Float[Tensor, "n d"], memory: Float[Tensor, "n *a"], own: Float[Tensor, "n *a"]
    ) -> Float[Tensor, "n *a"]:
        z = self.blend(mixed.float())
        z = z if own.ndim == 2 else z[:, 0]
        return torch.logaddexp(memory + F.logsigmoid(z), own + F.logsigmoid(-z))

    def fit_shares(
        self, batches: Iterable[Batch], stories: Stories, progress: float
    ) -> float | None:
        if self.network.trust.held is None:
            return None
        self.network.train(False)
        found = []
        for batch in batches:
            flat = batch.targets.flatten()
            index = (flat >= 0).nonzero()[:, 0]
            mixed, before = self._said(batch.symbols)[0][index], batch.symbols.flatten()[index]
            places = batch.places.flatten()[index].numpy()
            found.append(self.columns(mixed, before, flat[index], places, stories))
        known, told = gathered(found)
        self.network.trust.held.fit(known, told)
        self.network.train()
        heard = self.network.trust.trusted(known, list(told.T), 0.0 if progress else 1.0)
        return -float(heard.double().sum())

    def columns(
        self,
        mixed: Float[Tensor, "n d"],
        before: Int[Tensor, "n"],
        targets: Int[Tensor, "n"],
        places: NDArray[np.int64],
        stories: Stories,
    ) -> tuple[Known, Float[Tensor, "n k"]]:
        """What `Readout.told` says of these positions of a set of stories."""
        own = self.logits(mixed, before, 0.0).float().log_softmax(-1)
        at = self.readout.doors[0].local[targets][:, None]
        if id(stories) not in self._recalls:
            self._recalls[id(stories)] = (stories, recalled(self.network, self.readout, stories))
        _, found = self._recalls[id(stories)]
        known = Known(found.left[places], unsure(own), found.seen[places])
        return known, torch.cat([found.beside[places], own.gather(1, at)], dim=1)

    def _added(
        self, logits: Float[Tensor, "n a"], rows: Rows, openness: float
    ) -> Float[Tensor, "n a"]:
        """The rows of a memory of order n put in, the unigram that they replace taken out."""
        g = max(self.spec.floor, openness)
        if not g:
            return logits
        door = self.readout.doors[0]
        base = torch.from_numpy(rows.log_base)[:, door.ids] - door.unigram
        told = base[torch.from_numpy(rows.group)]
        place = torch.from_numpy(rows.owner) * len(door.ids)
        place += door.local[torch.from_numpy(rows.symbols)]
        told.view(-1).index_add_(0, place, torch.from_numpy(rows.gains))
        beta = 1.0 if self.network.log_beta is None else self.network.log_beta.exp()
        return logits + beta * g * told

    def _rows(self, places: NDArray[np.int64], stories: Stories) -> Rows:
        """What the memory says there."""
        if self._counted is None:
            raise InvalidConfig("this arm has no memory of its own")
        if stories is self.corpus.train and self.spec.cross_fit:
            return self._counted.rows(places)
        return self._counted.rows(places, self._reading(stories))

    def _reading(self, stories: Stories) -> Reading:
        """Where a set stands in the memory, as new stories."""
        if self._counted is None:
            raise InvalidConfig("this arm has no memory of its own")
        if id(stories) not in self._readings:
            self._readings[id(stories)] = (stories, self._counted.read(stories.ids))
        return self._readings[id(stories)][1]

    def _odds(self, stories: Stories) -> NDArray[np.float32]:
        """[N]: ln p of every symbol of a set by the memory, worked out once."""
        if self._counted is None:
            raise InvalidConfig("this arm has no memory of its own")
        if id(stories) not in self._known:
            own = stories is self.corpus.train and self.spec.cross_fit
            told = self._counted.log_probs(None if own else stories.ids)
            self._known[id(stories)] = (stories, told)
        return self._known[id(stories)][1]

    def inputs(self, symbols: Int[Tensor, "b t"]) -> tuple[Inputs, Tensor]:
        """What the network reads, and the mask under which it sees the past alone."""
        rows, width = symbols.shape
        before = F.pad(symbols, (1, 0))[:, :-1]
        ranks = self.space.order.rank_table[before.numpy(), symbols.numpy()]
        told = torch.from_numpy(buckets(ranks.astype(np.int32), GRID).astype(np.int64))
        times = torch.arange(width).expand(rows, -1)
        past = torch.ones(width, width, dtype=torch.bool).tril().expand(rows, 1, -1, -1)
        return Inputs(symbols, torch.zeros_like(symbols), told, times), past

    def _said(self, symbols: Int[Tensor, "b t"]) -> list[Float[Tensor, "n d"]]:
        """What the blocks say together, then each lower one alone where they are supervised."""
        inputs, mask = self.inputs(symbols)
        if not (self.network.config.supervise and self.network.training):
            return [trunk.speak(self.network, inputs, mask).flatten(0, 1)]
        states = self.network.states(inputs, mask)
        said = [self.network.mix(states), *map(self.network.alone, states[:-1])]
        return [each.flatten(0, 1) for each in said]

    def logits(
        self, mixed: Float[Tensor, "n d"], before: Int[Tensor, "n *k"], openness: float
    ) -> Float[Tensor, "n a"]:
        unembedding = self.network.unembedding()
        return self.readout.logits(self.network, unembedding, 0, mixed, before, openness)

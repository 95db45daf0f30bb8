"""One training loop for all neural arms: the same texts, steps, schedule, stopping and figures.

Every step reads 16 stories. Rates rise, hold and fall to zero at the last step (the schedule of
rankspace.training.optimizer); those of `rank` do not fall, for its average of the weights does as
much. Every 100,000 symbols the first 128 held-out stories are read; what is reported is the state
that was best there, on the other held-out stories. Training ends when those 128 have not become
better for `patience` readings; the first quarter does not count, for an arm that begins with a
memory gets worse before it gets better.

Units: tokens are symbols that were asked for; seconds are those of steps, without any reading.
"""

import copy
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from benchmarks._arms import Arm
from benchmarks._text_data import CONTEXT, Corpus, Stories
from rankspace.ranks.vocabulary import END_OF_PART
from rankspace.training.optimizer import Average, factor
from rankspace.training.precision import fast

ROWS = 16
READ_EVERY = 100_000
SETTLED = 0.25
"""Share of the steps before which no reading ends the training."""

Progress = Callable[[float], None]
Result = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Plan:
    """How long, and how closely watched."""

    budget: int
    """Tokens at most."""

    seed: int
    context: int = CONTEXT
    rows: int = ROWS
    read_every: int = READ_EVERY
    """Tokens between two readings of the held-out stories."""

    patience: int = 8
    """Readings without a better one before the end: high rates read unevenly until they fall."""

    sampled: int = 16
    """Stories that are made up at the end."""

    length: int = 160
    """Symbols of each at most."""

    def steps(self, corpus: Corpus) -> int:
        """Steps that the budget is worth."""
        per_story = np.mean([min(len(ids) - 1, self.context) for ids in corpus.train.ids])
        return max(2, int(self.budget / (per_story * self.rows)))


def run(arm: Arm, corpus: Corpus, plan: Plan, progress: Progress) -> Result:
    """Train an arm to its best and measure it."""
    steps = plan.steps(corpus)
    watch = _Watch(arm, corpus, plan)
    average = Average(arm.model) if arm.average else None
    norms: list[float] = []
    tokens = step = 0
    seconds = 0.0
    watch.read(0, 0.0, 0.0, average)
    due = plan.read_every
    while step < steps and not watch.over:
        began = time.perf_counter()
        batch = corpus.train.draw(plan.seed, step, plan.rows, plan.context)
        with fast():
            loss = arm.loss(batch, corpus.train, step / steps)
        loss.backward()
        norms.append(arm.step(factor(step, steps, arm.decay), (step + 1) / steps))
        if average:
            average.update(step)
        seconds += time.perf_counter() - began
        step, tokens = step + 1, tokens + batch.asked
        if tokens >= due or step == steps:
            due += plan.read_every
            watch.read(tokens, seconds, step / steps, average)
        progress(step / steps)
    return watch.result() | {
        "parameters": arm.parameters, "steps": step, "tokens": tokens, "seconds": seconds,
        "norm_median": float(np.median(norms)), "norm_p95": float(np.quantile(norms, 0.95)),
    } | arm.facts()  # fmt: skip


class _Watch:
    """Readings of the held-out stories, and the best state so far."""

    def __init__(self, arm: Arm, corpus: Corpus, plan: Plan) -> None:
        self._arm, self._corpus, self._plan = arm, corpus, plan
        self.curve: list[tuple[int, float, float]] = []
        self._best: tuple[float, float, dict[str, torch.Tensor]] = (math.inf, 0.0, {})
        self._settled: list[float] = []

    @property
    def over(self) -> bool:
        """Whether it is not worth going on."""
        return stagnant(self._settled, self._plan.patience)

    def read(self, tokens: int, seconds: float, done: float, average: Average | None) -> None:
        """Read the stories that training is stopped by."""
        if average:
            average.swap()
        plan, tune = self._plan, self._corpus.tune
        with torch.no_grad(), fast():
            nats = self._arm.fit_shares(tune.windows(plan.context, plan.rows), tune, done)
        known = None if nats is None else nats / math.log(2) / tune.bytes
        bits = bits_per_byte(self._arm, tune, plan, done) if known is None else known
        self.curve.append((tokens, seconds, bits))
        if bits < self._best[0]:
            self._best = (bits, done, copy.deepcopy(self._arm.model.state_dict()))
        if done >= SETTLED:
            self._settled.append(bits)
        if average:
            average.swap()

    def result(self) -> Result:
        """Figures of the best state on stories that nothing was chosen by."""
        arm, corpus, plan = self._arm, self._corpus, self._plan
        arm.model.load_state_dict(self._best[2])
        done = self._best[1]
        return {
            "tune_bpb": self._best[0],
            "test_bpb": bits_per_byte(arm, corpus.test, plan, done),
            "best_tokens": next(t for t, _, bits in self.curve if bits == self._best[0]),
            "birth_gap_nats": self._birth_gap(),
            "curve": self.curve,
            "samples": samples(arm, corpus, plan),
        }

    def _birth_gap(self) -> float | None:
        """Nats a symbol between the loss at birth and what the arm knew then."""
        tune = self._corpus.tune
        known = self._arm.memory(tune)
        if known is None:
            return None
        nats = self.curve[0][2] * math.log(2) * tune.bytes
        return (nats - known) / (len(tune.line) - len(tune))


def stagnant(readings: Sequence[float], patience: int) -> bool:
    """Whether none of the last readings is better than the best before them."""
    return len(readings) > patience and min(readings[-patience:]) >= min(readings[:-patience])


def bits_per_byte(arm: Arm, stories: Stories, plan: Plan, done: float = 1.0) -> float:
    """Bits of every symbol and end of all these stories, over their bytes."""
    nats = 0.0
    arm.model.eval()
    with torch.no_grad(), fast():
        for batch in stories.windows(plan.context, plan.rows):
            nats += float(arm.nats(batch, stories, done).double().sum())
    arm.model.train()
    return nats / math.log(2) / stories.bytes


def samples(arm: Arm, corpus: Corpus, plan: Plan) -> list[str]:
    """Stories made up symbol by symbol by the arm's own law."""
    dice = torch.Generator().manual_seed(plan.seed)
    begin = corpus.vocabulary.begin("text", "")
    said = torch.full((plan.sampled, 1), begin)
    arm.model.eval()
    with torch.no_grad(), fast():
        for _ in range(plan.length if plan.sampled else 0):
            odds = arm.law(said).float()
            odds[:, : begin + 1] *= torch.arange(begin + 1) == END_OF_PART
            said = torch.cat((said, torch.multinomial(odds, 1, generator=dice)), dim=1)
    arm.model.train()
    return [spelt(corpus, row[1:].tolist()) for row in said]


def spelt(corpus: Corpus, ids: list[int]) -> str:
    """The text of a made-up story, up to its end."""
    symbols = ids[: ids.index(END_OF_PART)] if END_OF_PART in ids else ids
    local = corpus.vocabulary.to_local(corpus.codec.layout, np.array(symbols, np.int32))
    return b"".join(corpus.codec.pieces[symbol] for symbol in local).decode("utf-8", "replace")


def seconds_per_step(arm: Arm, corpus: Corpus, plan: Plan, steps: int = 12) -> float:
    """Median of one step, with nothing else running."""
    told = []
    for step in range(steps):
        began = time.perf_counter()
        batch = corpus.train.draw(plan.seed, step, plan.rows, plan.context)
        with fast():
            loss = arm.loss(batch, corpus.train, step / steps)
        loss.backward()
        arm.step(1.0, step / steps)
        told.append(time.perf_counter() - began)
    return float(np.median(told[2:]))

"""Who is timed in benchmarks/train_speed.py, and what a step of each is.

Ours step as a job does, through its Learner; peers through autograd and AdamW. All see the same
rows, none drops or swaps anything.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, cast

import numpy as np
import torch
from torch import nn

from benchmarks import _peers_text
from benchmarks._arms import Arm
from benchmarks._arms_jobs import Job, Settings, built, why_not
from benchmarks._arms_networks import Ours
from benchmarks._text_data import Batch, Corpus
from rankspace.model.network import Inputs, Network
from rankspace.ranks.coordinate import GRID, buckets
from rankspace.training import batches
from rankspace.training.job import JobConfig
from rankspace.training.loop import Learner
from rankspace.training.precision import has_bfloat16

CONTEXT = 256
ROWS = 16
SYMBOLS = 2048
SIZES = {"3M": (192, 6), "12M": (384, 6)}
"""Width and depth; parameters are those of GPT-2 of Hugging Face at them, within 3 %."""

BETWEEN = (288, 6)
OURS = ("gpt2", "rank", "rank plain", "rank_moe", "prism")
HALF = 0.5
"""Share of the training at which a step is timed: the product's memory has fallen silent."""

STEPS = 10_000


@dataclass(frozen=True, slots=True, eq=False)
class Contender:
    """An arm in one way of running it."""

    name: str
    arm: Arm
    bfloat16: bool
    learner: Learner | None = None
    """What a job would step with; None for a peer."""

    def step(self, batch: Batch, corpus: Corpus) -> None:
        """One step of training."""
        if self.learner is not None:
            self.learner.step(packed(batch, corpus), int(HALF * STEPS), 1)
            return
        with torch.autocast("cpu", torch.bfloat16, enabled=self.bfloat16):
            loss = self.arm.loss(batch, corpus.train, HALF)
        loss.backward()
        self.arm.step(1e-3, HALF)


@cache
def packed(batch: Batch, corpus: Corpus) -> batches.Batch:
    """The rows as a job packs them, one document a row; made once, as what peers read is."""
    rows, width = batch.symbols.shape
    before = torch.nn.functional.pad(batch.symbols, (1, 0))[:, :-1]
    ranks = corpus.space.order.rank_table[before.numpy(), batch.symbols.numpy()]
    told = torch.from_numpy(buckets(ranks.astype(np.int32), GRID).astype(np.int64))
    times = torch.arange(width).repeat(rows, 1)
    inputs = Inputs(batch.symbols, torch.zeros_like(times), told, times)
    past = torch.ones(width, width, dtype=torch.bool).tril().repeat(rows, 1, 1, 1)
    index = (batch.targets.flatten() >= 0).nonzero()[:, 0]
    held = (batch.symbols.flatten()[index], batch.targets.flatten()[index])
    asked = batches.Asked(0, index, *held, torch.ones(len(index)), torch.zeros_like(index))
    return batches.Batch(inputs, past, (asked,), len(index))


def learner(arm: Arm, name: str, native: bool) -> Learner:
    """What a job would train this network with."""
    if not isinstance(arm, Ours):
        raise TypeError(f"{name} is no network of ours")
    network = arm.network
    quiet = {"native": native, "dropout": 0.0, "noise": 0.0}
    network.config = network.config.model_copy(update=quiet)
    for block in network.layers:
        block.dropout = 0.0
    preset: Any = arm.spec.preset
    config = JobConfig(
        streams=("stories",), preset=preset, context=CONTEXT, steps=STEPS, learning_rate=1e-3
    )
    return Learner(network, arm.readout, config)


def corpus_of(symbols: int, length: int) -> Corpus:
    """Made-up stories of words by Zipf's law, each longer than the context."""
    random = np.random.default_rng(0)
    letters = np.array(list("абвгдежзиклмнопрстуфхцчшя"))
    words = ["".join(random.choice(letters, random.integers(2, 9))) for _ in range(4000)]
    law = 1 / (np.arange(len(words)) + 2.7)
    stories = [
        " ".join(random.choice(words, length, p=law / law.sum())).encode() for _ in range(80)
    ]
    return Corpus(stories[:64], stories[64:], symbols)


def size_of(width: int, depth: int, symbols: int = SYMBOLS, context: int = CONTEXT) -> int:
    """Parameters of GPT-2 at a size, its tied table counted once."""
    block = 12 * width * width + 13 * width
    return depth * block + (symbols + 4 + context + 2) * width


def contenders(
    names: Sequence[str], settings: Settings, corpus: Corpus, modes: Sequence[str]
) -> list[Contender]:
    """Everything that can run here; says of the others why not."""
    found = []
    for name in names:
        if why := why_not(name.split()[0]):
            print(f"left out {name}: {why}", flush=True)
        elif name not in _peers_text.PEERS:
            arm = built(Job(name.split()[0]), settings, corpus)
            mind = learner(arm, name, "plain" not in name)
            found.append(Contender(name, arm, has_bfloat16(), mind))
        else:
            found += [_peer(name, mode, settings, corpus) for mode in modes]
    return found


def _peer(name: str, mode: str, settings: Settings, corpus: Corpus) -> Contender:
    arm = built(Job(name), settings, corpus)
    if "compiled" in mode:
        arm.model = cast("nn.Module", torch.compile(arm.model))
    return Contender(f"{name} {mode}", arm, "bfloat16" in mode)


def flops(arm: Arm, width: int, depth: int, context: int) -> float:
    """Useful floating point operations a token: 6 N + 6 L D T."""
    inside = 0.0
    for name, weight in arm.model.named_parameters():
        looked_up = any(part in name for part in ("wpe", "pos_emb", "position", "bucket"))
        if weight.ndim < 2 or looked_up:
            continue
        inside += weight.numel() * _share(arm, name)
    return 6 * inside + 6 * depth * width * context


def _share(arm: Arm, name: str) -> float:
    """How much of a matrix is at work for one token."""
    if isinstance(arm.model, Network) and ".experts." in name:
        return min(1.0, arm.model.config.active / arm.model.config.experts)
    return 1.0


def of(width: int, depth: int) -> Settings:
    """Settings of a size; no dropout, which costs each its own way."""
    return Settings(
        parameters=size_of(width, depth), width=width, depth=depth, context=CONTEXT, dropout=0.0
    )

"""Held-out figures: what the network, and the memory alone, need for symbols that never trained.

All are over the same symbols, each inside its alphabet, in nats a symbol unless they say bits. A
symbol of `known` rows is of a sample that trains in other views; the figure of a source says
which it is.

Shapes: N positions that lead to one alphabet.
"""

import math
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch

from rankspace.model.network import Network
from rankspace.model.readout import Readout, looked_back
from rankspace.ranks.space import ORDER, Space
from rankspace.training.batches import Batch, pack
from rankspace.training.documents import Document
from rankspace.training.precision import fast


@dataclass(slots=True)
class Tally:
    """Sums over symbols of one group."""

    symbols: int = 0
    model: float = 0.0
    bigram: float = 0.0
    unigram: float = 0.0

    def add(self, model: torch.Tensor, bigram: torch.Tensor, unigram: torch.Tensor) -> None:
        """Take in the -ln p of some symbols."""
        self.symbols += len(model)
        self.model += float(model.sum())
        self.bigram += float(bigram.sum())
        self.unigram += float(unigram.sum())


@dataclass(slots=True)
class Measures:
    """What was measured."""

    modalities: dict[str, Tally] = field(default_factory=lambda: defaultdict(Tally))
    sources: dict[int, Tally] = field(default_factory=lambda: defaultdict(Tally))

    @property
    def loss(self) -> float:
        """Mean over sources of the mean over their symbols, nats; nan if nothing is held out."""
        means = [tally.model / tally.symbols for tally in self.sources.values() if tally.symbols]
        return sum(means) / len(means) if means else math.nan

    @property
    def mean(self) -> float:
        """Mean over all symbols, nats."""
        symbols = sum(tally.symbols for tally in self.sources.values())
        return sum(tally.model for tally in self.sources.values()) / max(1, symbols)

    def bits(self) -> dict[str, float]:
        """Bits per symbol of each modality: the model's, the bigram's, the unigram's."""
        found = {}
        for name, tally in sorted(self.modalities.items()):
            per = max(1, tally.symbols) * math.log(2)
            found[f"bits_per_symbol/{name}/model"] = tally.model / per
            found[f"bits_per_symbol/{name}/bigram"] = tally.bigram / per
            found[f"bits_per_symbol/{name}/unigram"] = tally.unigram / per
        return found


def batches(documents: Sequence[Document], context: int, symbols: int) -> Iterator[Batch]:
    """Documents in batches of about so many symbols."""
    held: list[Document] = []
    size = 0
    for document in documents:
        held.append(document)
        size += len(document)
        if size >= symbols:
            yield pack(held, context)
            held, size = [], 0
    if held:
        yield pack(held, context)


@torch.no_grad()
def measure(
    network: Network, readout: Readout, found: Sequence[Batch], gate: float = 0.0
) -> Measures:
    """Measure a network on these batches."""
    out = Measures()
    network.eval()
    unembedding = network.unembedding()
    for batch in found:
        with fast():
            mixed = network.mix(network.states(batch.inputs, batch.mask)).flatten(0, 1)
        for asked in batch.asked:
            door = readout.doors[asked.door]
            past = readout.past(network, batch.inputs.symbols, asked.index)
            logits = readout.logits(
                network, unembedding, asked.door, mixed[asked.index].float(), past, gate
            )
            model = readout.losses(logits, asked.door, asked.targets)
            local = door.local[asked.targets]
            memory = -door.bigram[asked.before, local], -door.unigram[local]
            out.modalities[door.alphabet.modality].add(model, *memory)
            for source in asked.sources.unique().tolist():
                own = asked.sources == source
                out.sources[source].add(model[own], *(each[own] for each in memory))
    network.train()
    return out


def prior_cross_entropy(space: Space, found: Sequence[Batch]) -> float:
    """The right side of the birth law: the memory's own nats per symbol of the same symbols.

    Computed by the prior, restricted exactly to each alphabet, and not by the network's tables.
    """
    total, symbols, pairs = 0.0, 0, space.memory.order == ORDER
    for door, alphabet in enumerate(space.alphabets):
        mask = np.zeros(space.vocabulary.size, np.bool_)
        mask[alphabet.ids] = True
        own = [(b, asked) for b in found for asked in b.asked if asked.door == door]
        inside = space.memory.restrict(mask) if own else space.memory
        table = inside.bigram_table() if own and pairs else None
        for batch, asked in own:
            if table is not None:
                told = table[asked.before.numpy(), asked.targets.numpy()]
            else:
                past = looked_back(space, batch.inputs.symbols, asked.index)
                odds = inside.laws(past.numpy().astype(np.int32))[0][
                    np.arange(len(past)), asked.targets.numpy()
                ]
                told = np.log(odds)
            total -= float(told.sum(dtype=np.float64))
            symbols += len(asked.targets)
    return total / max(1, symbols)

"""From states to what may come next, alphabet by alphabet.

    logits = beta_out * ( g * ln p0(.|c) + (1 - g) * ln p0(.) + U m )     over one alphabet only

with other forms of the memory in model/memory.py.

What may stand at a position is known (a shape of sound never follows where a gain must), so no
symbol of another alphabet is ever scored: the products are smaller, and losses of modalities
compare. p0 is the memory restricted to the alphabet: p0(s) / sum of p0 over it.

Shapes: N positions that share an alphabet, A its size, V vocabulary, D width.
Source: our formalisation, docs/theory.md definition 4.
"""

from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor

from rankspace.model.memory import COUNT_BUCKETS, cap, distilled
from rankspace.model.network import Network
from rankspace.ranks.space import Alphabet, Space

ROUND = 128
"""Rows of a product are filled up to a multiple of this."""

FEW = 8
"""Up to so many rows are left as they are: answering asks for one at a time."""


@dataclass(frozen=True, slots=True, eq=False)
class Door:
    """One alphabet as tensors."""

    alphabet: Alphabet
    ids: Int[Tensor, "a"]
    local: Int[Tensor, "v"]
    """Index in the alphabet of each id; 0 for ids that are not in it."""

    unigram: Float[Tensor, "a"]
    """ln p0 without context, restricted."""

    bigram: Float[Tensor, "v a"]
    """ln p0 after each id, restricted."""


class Readout:
    """The doors of a space. Holds no parameters; they are the network's."""

    def __init__(self, space: Space) -> None:
        table = space.prior.bigram_table()
        unigram = space.prior.log_unigram()
        self.doors = tuple(_door(each, table, unigram) for each in space.alphabets)
        seen = space.counts.frequencies(space.vocabulary.size)
        seen = np.ceil(np.log2(seen + 1)).astype(np.int64).clip(max=COUNT_BUCKETS - 1)
        self.seen = torch.from_numpy(seen)
        """[V]: bucket of how often each id was seen."""

    def logits(
        self,
        network: Network,
        unembedding: Float[Tensor, "v d"],
        door: int,
        mixed: Float[Tensor, "n d"],
        before: Int[Tensor, "n"],
        gate: float,
    ) -> Float[Tensor, "n a"]:
        """The logits of positions whose next symbol lies behind this door.

        `mixed` is what the blocks say (Network.mix), `before` the id each position holds, `gate`
        the share g of the memory's context.
        """
        chosen, trust, limit = self.doors[door], network.trust, network.config.soft_cap
        symbols = unembedding[chosen.ids].to(mixed.dtype).T
        if network.log_beta is None:
            return cap(_product(mixed, symbols).float(), limit)
        beta = network.log_beta.exp()  # scaled here and not there: [N, D] is smaller than [N, A]
        scores = cap(_product(mixed * beta.to(mixed.dtype), symbols), limit)
        open_ = trust.openness(gate, self.seen[before])
        scores = scores + beta * (1.0 - open_) * chosen.unigram
        if trust.form == "mixture":
            return trust.mixture(scores, chosen.bigram[before], trust.share(mixed, gate))
        if isinstance(open_, float) and not open_:
            return scores
        return scores + beta * open_ * chosen.bigram[before]

    def losses(
        self, logits: Float[Tensor, "n a"], door: int, targets: Int[Tensor, "n"]
    ) -> Float[Tensor, "n"]:
        """-ln p of the target ids, in nats."""
        return F.cross_entropy(logits, self.doors[door].local[targets], reduction="none")

    def imitation(
        self, logits: Float[Tensor, "n a"], door: int, before: Int[Tensor, "n"]
    ) -> Float[Tensor, "n"]:
        """-sum p0 ln p: the loss of who only has to say what the memory says, in nats."""
        return distilled(logits, self.doors[door].bigram[before])


def _product(x: Float[Tensor, "n d"], y: Float[Tensor, "d a"]) -> Float[Tensor, "n a"]:
    """The product, in few shapes: a CPU prepares it anew for every shape that it meets."""
    count = len(x)
    if count <= FEW:
        return x @ y
    return (F.pad(x, (0, 0, 0, -count % ROUND)) @ y)[:count]


def _door(alphabet: Alphabet, table: np.ndarray, unigram: np.ndarray) -> Door:
    ids = torch.from_numpy(alphabet.ids.astype(np.int64))
    local = torch.zeros(len(unigram), dtype=torch.int64)
    local[ids] = torch.arange(len(ids))
    inside = torch.from_numpy(np.ascontiguousarray(table[:, alphabet.ids]))
    alone = torch.from_numpy(np.ascontiguousarray(unigram[alphabet.ids]))
    return Door(alphabet, ids, local, alone.log_softmax(-1), inside.log_softmax(-1))

"""From states to what may come next, alphabet by alphabet.

    logits = beta_out * ( g * ln p0(.|c) + (1 - g) * ln p0(.) + U m )     over one alphabet only

with other forms of the memory in model/memory.py. One of them, `held`, looks back by the order of
the space's counts; it is asked where the past is given, and the network alone where one id is.

What may stand at a position is known (a shape of sound never follows where a gain must), so no
symbol of another alphabet is ever scored: the products are smaller, and losses of modalities
compare. p0 is the memory restricted to the alphabet: p0(s) / sum of p0 over it.

Shapes: N positions that share an alphabet, A its size, V vocabulary, D width; T symbols of the
past, order - 1 of them or the whole part up to here.
Source: our formalisation, docs/theory.md definition 4.
"""

from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor

from rankspace.model.document import said
from rankspace.model.memory import COUNT_BUCKETS, cap, distilled, unsure
from rankspace.model.network import Network
from rankspace.model.shares import Known
from rankspace.ranks.space import ORDER, Alphabet, Space
from rankspace.ranks.vocabulary import PAD

ROUND = 128
"""Rows of a product are filled up to a multiple of this."""

RECALLED = 512
"""Positions whose rows of a longer memory are made at once: bounds the scratch memory."""

FEW = 8
"""Up to so many rows are left as they are: answering asks for one at a time."""


@dataclass(frozen=True, slots=True, eq=False)
class Door:
    """One alphabet as tensors."""

    alphabet: Alphabet
    ids: Int[Tensor, "a"]
    local: Int[Tensor, "v"]
    """Index in the alphabet of each id; 0 for ids that are not in it."""

    inside: Bool[Tensor, "v"]
    """Whether each id is in it."""

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

        self._space = space
        self._memory = space.memory

    def past(
        self, network: Network, symbols: Int[Tensor, "b s"], index: Int[Tensor, "n"]
    ) -> Int[Tensor, "n t"]:
        """The ids that each position of these rows may look back on, its own last."""
        return looked_back(self._space, symbols, index, network.config.document)

    def expected(self, door: int, past: Int[Tensor, "n t"]) -> Float[Tensor, "n a"]:
        """What the memory says after each past, inside the alphabet: ln p0."""
        if self._memory.order == ORDER:
            return self.doors[door].bigram[past[:, -1]]
        return self.recalled(door, past)[0]

    def recalled(
        self, door: int, past: Int[Tensor, "n t"]
    ) -> tuple[Float[Tensor, "n a"], Float[Tensor, "n"]]:
        """The same by counts of any order; and ln of the mass that is left to their base."""
        ids = self.doors[door].ids.numpy()
        told: list[tuple[Tensor, Tensor]] = []
        for some in past.split(RECALLED):
            odds, left = self._memory.laws(some.numpy().astype(np.int32))
            inside = odds[:, ids]
            inside = np.log(inside / inside.sum(1, keepdims=True))
            told.append((torch.from_numpy(inside).float(), torch.from_numpy(np.log(left)).float()))
        laws, masses = zip(*told, strict=True)
        return torch.cat(laws), torch.cat(masses)

    def remembered(
        self, network: Network, door: int, past: Int[Tensor, "n t"]
    ) -> tuple[list[Float[Tensor, "n a"]], Float[Tensor, "n"], Float[Tensor, "n"]]:
        """What stands beside the network, as ln p: the memory, and what the document has said.

        Then ln of the mass that the memory leaves, and how often the document went on from here.
        """
        context, left = self.recalled(door, past)
        if not network.config.document:
            return [context], left, torch.zeros_like(left)
        chosen = self.doors[door]
        pairs, singles, seen = said(past, chosen.local, chosen.inside, context)
        return [context, pairs, singles], left, seen

    def logits(
        self,
        network: Network,
        unembedding: Float[Tensor, "v d"],
        door: int,
        mixed: Float[Tensor, "n d"],
        before: Int[Tensor, "n *t"],
        gate: float,
    ) -> Float[Tensor, "n a"]:
        """The logits of positions whose next symbol lies behind this door.

        `mixed` is what the blocks say (Network.mix), `before` the id each position holds or all
        that it may look back on (`past`), `gate` the share g of the memory's context.
        """
        past = before if before.ndim == 2 else None
        before = before if past is None else past[:, -1]
        chosen, trust, limit = self.doors[door], network.trust, network.config.soft_cap
        if trust.form == "held" and past is not None:
            own = self.logits(network, unembedding, door, mixed, before, 0.0)
            return trust.trusted(*self._laws(network, own, door, past), gate)
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

    def told(
        self,
        network: Network,
        logits: Float[Tensor, "n a"],
        door: int,
        past: Int[Tensor, "n t"],
        targets: Int[Tensor, "n"],
    ) -> tuple[Known, Float[Tensor, "n k"]]:
        """What shares are fitted to: `logits` are the network's own, told is ln p by law."""
        known, laws = self._laws(network, logits, door, past)
        at = self.doors[door].local[targets][:, None]
        return known, torch.cat([law.gather(1, at) for law in laws], dim=1)

    def _laws(
        self,
        network: Network,
        logits: Float[Tensor, "n a"],
        door: int,
        past: Int[Tensor, "n t"],
    ) -> tuple[Known, list[Float[Tensor, "n a"]]]:
        """All laws of a mixture, the memory first and the network last."""
        own = logits.float().log_softmax(-1)
        beside, left, seen = self.remembered(network, door, past)
        return Known(left, unsure(own), seen), [*beside, own]

    def imitation(
        self, logits: Float[Tensor, "n a"], door: int, before: Int[Tensor, "n"]
    ) -> Float[Tensor, "n"]:
        """-sum p0 ln p: the loss of who only has to say what the memory says, in nats."""
        return distilled(logits, self.doors[door].bigram[before])


def looked_back(
    space: Space, symbols: Int[Tensor, "b s"], index: Int[Tensor, "n"], whole: bool = False
) -> Int[Tensor, "n t"]:
    """The ids before each of these positions and its own: as many as the memory can use, or all.

    Parts stand one after the other and none looks back beyond its begin mark: there is PAD.
    """
    flat, at, marks = symbols.flatten(), torch.arange(symbols.numel()), space.vocabulary.begins
    opens = (flat >= marks.start) & (flat < marks.stop) | (at % symbols.shape[1] == 0)
    begun = torch.where(opens, at, 0).cummax(0).values[index, None]
    width = space.memory.order - 1
    if whole and len(index):
        width = max(width, int((index - begun[:, 0]).max()) + 1)
    back = index[:, None] - torch.arange(width - 1, -1, -1)
    return torch.where(back >= begun, flat[back.clamp(min=0)], PAD)


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
    within = torch.zeros(len(unigram), dtype=torch.bool)
    within[ids] = True
    return Door(alphabet, ids, local, within, alone.log_softmax(-1), inside.log_softmax(-1))

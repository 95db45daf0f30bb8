"""Rank space: where media of all modalities meet, as symbols with ranks.

A space is what has been learnt before any network: codecs, one vocabulary, and the memory (counts
of which symbol follows which, the prior and the order they give). A part is read as

    begin(modality, role), symbol, ..., symbol, end of part

each with the place it has in its codec's repeating layout and the bucket of its rank in the
memory's order. What may come next inside a part is known from where one stands: an *alphabet*,
the symbols of the codec's slot and, at the slot where a message may end, the end of the part.

Shapes: ids, places, buckets int32 [N].
Source: our formalisation, docs/theory.md definitions 1 to 3.
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from rankspace.codecs.table import AnyCodec, load_all, save_all
from rankspace.errors import UnknownModality
from rankspace.media.sample import Modality
from rankspace.ranks.coordinate import GRID, buckets
from rankspace.ranks.counts import Counts
from rankspace.ranks.order import Order
from rankspace.ranks.prior import Prior
from rankspace.ranks.vocabulary import END_OF_PART, Ids, Kind, Vocabulary

ORDER = 2
"""Symbols of one count: how far the memory looks, this symbol and the one before it."""


@dataclass(frozen=True, slots=True, eq=False)
class Reading:
    """One part as the network reads it: begin mark, symbols, end mark."""

    modality: Modality
    role: str
    ids: Ids
    places: Ids
    buckets: Ids


@dataclass(frozen=True, slots=True, eq=False)
class Alphabet:
    """What may stand at one slot of a modality's messages."""

    name: str
    modality: Modality
    ids: Ids
    """The symbols, ascending; the end of the part among them where a message may end."""


class Space:
    """Codecs, vocabulary and memory of one model."""

    def __init__(
        self, codecs: Mapping[Modality, AnyCodec], vocabulary: Vocabulary, counts: Counts
    ) -> None:
        self.codecs = dict(codecs)
        self.vocabulary = vocabulary
        self.counts = counts
        self.prior = Prior.fit(counts, vocabulary.size, ORDER)
        self._places = self._place_starts()

    @classmethod
    def learn(
        cls,
        codecs: Mapping[Modality, AnyCodec],
        kinds: Sequence[Kind],
        counts: Counts | None = None,
    ) -> "Space":
        """A space whose memory holds these counts, or nothing yet."""
        alphabets = [piece for codec in codecs.values() for piece in codec.layout]
        return cls(codecs, Vocabulary.of(kinds, alphabets), counts or Counts.empty(ORDER))

    @property
    def places(self) -> int:
        """Places of all layouts together; place 0 is none."""
        return 1 + sum(codec.cycle for codec in self.codecs.values())

    @cached_property
    def memory(self) -> Prior:
        """What is expected after as many symbols as were counted; the prior itself for pairs."""
        if self.counts.order == ORDER:
            return self.prior
        return Prior.fit(self.counts, self.vocabulary.size, self.counts.order)

    @cached_property
    def order(self) -> Order:
        """Symbols to ranks and back."""
        return Order.of(self.prior)

    @cached_property
    def features(self) -> NDArray[np.float32]:
        """[V, F]: the codecs' features of every symbol, each modality in columns of its own.

        Video shares the symbols of pictures and sound, so only its own marks take part.
        """
        tables = [(name, codec.features) for name, codec in self.codecs.items() if name != "video"]
        width = sum(table.shape[1] for _, table in tables)
        found = np.zeros((self.vocabulary.size, width), np.float32)
        column = 0
        for name, table in tables:
            rows = self.vocabulary.to_global(
                self.codecs[name].layout, np.arange(len(table), dtype=np.int32)
            )
            found[rows, column : column + table.shape[1]] = table
            column += table.shape[1]
        return found

    @cached_property
    def alphabets(self) -> tuple[Alphabet, ...]:
        """Every alphabet, in a fixed order."""
        found: dict[str, Alphabet] = {}
        for name, codec in sorted(self.codecs.items()):
            for index, slot in enumerate(codec.slots):
                alphabet = self._alphabet(name, codec, slot, may_end=index == 0)
                found.setdefault(alphabet.name, alphabet)
        return tuple(found.values())

    @cached_property
    def _cycles(self) -> dict[Modality, Ids]:
        """For each modality the index into `alphabets` of each of its slots."""
        index = {alphabet.name: at for at, alphabet in enumerate(self.alphabets)}
        return {
            name: np.array(
                [index[_slot_name(name, slot, at == 0)] for at, slot in enumerate(codec.slots)],
                np.int32,
            )
            for name, codec in self.codecs.items()
        }

    def alphabet_at(self, modality: Modality, index: int) -> int:
        """Index into `alphabets` of what may stand as the index-th symbol of a part."""
        cycle = self._cycles[modality]
        return int(cycle[index % len(cycle)])

    def alphabets_of(self, modality: Modality, length: int) -> Ids:
        """[length + 1]: the same for each symbol of a part and for the end after them."""
        cycle = self._cycles[modality]
        return np.resize(cycle, length + 1) if length + 1 > len(cycle) else cycle[: length + 1]

    def place(self, modality: Modality, index: int) -> int:
        """The place of the index-th symbol of a part."""
        cycle = self.codecs[modality].cycle
        return self._places[modality] + index % cycle if cycle else 0

    def codec(self, modality: Modality) -> AnyCodec:
        """The codec of a modality; raises UnknownModality if the model has not learnt it."""
        try:
            return self.codecs[modality]
        except KeyError:
            known = ", ".join(sorted(self.codecs))
            raise UnknownModality(
                f"the model has not learnt {modality}; it knows {known}"
            ) from None

    def ids(self, modality: Modality, role: str, symbols: Ids) -> Ids:
        """A part as ids, between its marks."""
        inside = self.vocabulary.to_global(self.codec(modality).layout, symbols)
        marks = np.array([self.vocabulary.begin(modality, role), END_OF_PART], np.int32)
        return np.concatenate([marks[:1], inside, marks[1:]])

    def read(self, modality: Modality, role: str, symbols: Ids) -> Reading:
        """A part as the network reads it."""
        ids = self.ids(modality, role, symbols)
        places = np.zeros(len(ids), np.int32)
        cycle = self.codec(modality).cycle
        if cycle:
            places[1:-1] = self._places[modality] + np.arange(len(symbols), dtype=np.int32) % cycle
        return Reading(modality, role, ids, places, self.buckets(ids))

    def buckets(self, ids: Ids) -> Ids:
        """The bucket of every id's rank, in a part that begins with the first."""
        return buckets(self.order.ranks(ids), GRID)

    def save(self, folder: Path) -> None:
        """Write codecs, vocabulary and counts."""
        save_all(self.codecs, folder)
        self.vocabulary.save(folder)
        self.counts.save(folder)

    @classmethod
    def load(cls, folder: Path) -> "Space":
        """The space saved in this folder; raises Corrupt if it is none."""
        return cls(load_all(folder), Vocabulary.load(folder), Counts.load(folder))

    def _place_starts(self) -> dict[Modality, int]:
        starts, at = {}, 1
        for name, codec in sorted(self.codecs.items()):
            starts[name] = at
            at += codec.cycle
        return starts

    def _alphabet(self, name: Modality, codec: AnyCodec, slot: range, may_end: bool) -> Alphabet:
        symbols = np.arange(slot.start, slot.stop, dtype=np.int32)
        ids = self.vocabulary.to_global(codec.layout, symbols)
        if may_end:
            ids = np.append(ids, np.int32(END_OF_PART))
        return Alphabet(_slot_name(name, slot, may_end), name, np.sort(ids).astype(np.int32))


def codecs_hash(codecs: Mapping[Modality, AnyCodec]) -> str:
    """A name for this very set of codecs."""
    hasher = hashlib.sha256()
    for name, codec in sorted(codecs.items()):
        hasher.update(f"{name}:{codec.hash}\n".encode())
    return hasher.hexdigest()


def _slot_name(modality: Modality, slot: range, may_end: bool) -> str:
    return f"{modality}:{slot.start}-{slot.stop}{'.' if may_end else ''}"

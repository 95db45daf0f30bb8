"""A memory of order n whose own document never speaks: interpolated Kneser-Ney, left one out.

A prior that is counted on the data it is then used on has seen the answer: every symbol of the
training data was counted at least once after its own context. A network that trains beside such a
prior learns to trust an oracle that is not there on new data. So at a position of document d all
counts of d are taken out first:

    a'(c,w) = a(c,w) - a_d(c,w)
    p_k(w|c) = (a' - D(a')) / sum_w a' + rest'(c) p_{k-1}(w|c')        p_0 = 1 / V

a is what `prior.Prior` uses: the count of the gram at the highest order, its distinct left
neighbours below. There a_d is how many left neighbours only d has seen. The discounts D, three
numbers an order, are those of all documents. New documents are read with nothing taken out.

Whatever was seen at a higher order was seen at the order of pairs too, so the entries of a row are
the symbols that follow the last symbol, and each order adds to them in place. What only depends on
the position (context, mass, scale) is worked out once for all training data.

Shapes: T positions of the training data in one line, N positions asked for, G grams, C contexts.
Source: our formalisation of cross-fitting for count priors; leaving-one-out for language models:
Ney, Essen, Kneser 1995 (recalled).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rankspace.errors import InvalidInput
from rankspace.ranks.counts import Counts, Keys, windows
from rankspace.ranks.prior import Reals
from rankspace.ranks.rows import Indices, Rows, spans
from rankspace.ranks.tiers import Own, Tier, locate
from rankspace.ranks.vocabulary import Ids

BLOCK = 4096
"""Positions whose rows are made at once: bounds the scratch memory to some tens of MB."""


@dataclass(frozen=True, slots=True, eq=False)
class Places:
    """Where positions stand in one tier."""

    context: Indices  # [T]; -1 where nothing is known
    own: Indices  # [T]: the group of the position's own document; -1 for none
    weight: Reals  # [T]: what a kept count is worth there

    def take(self, at: Indices) -> "Places":
        """Those of some positions."""
        return Places(self.context[at], self.own[at], self.weight[at])


@dataclass(frozen=True, slots=True, eq=False)
class Reading:
    """Where positions stand in every tier from the pairs on."""

    places: list[Places]
    mass: Reals  # [T]: what is left to the base


class CrossFit:
    """Counts of a set of documents, and what they say of each other."""

    def __init__(self, documents: Sequence[Ids], size: int, order: int = 5) -> None:
        if order < 2:
            raise InvalidInput(
                f"a memory looks back by an order of 2 or more, not {order}", "order"
            )
        counts = Counts.of(documents, order)
        if counts.grams[0].keys.size and counts.grams[0].keys[-1] >= size:
            raise InvalidInput(f"the documents hold ids beyond a vocabulary of {size}", "size")
        self.size, self.order, self.width = size, order, counts.width
        told = [*(counts.continuations(k) for k in range(1, order)), counts.grams[-1]]
        self._tiers = [Tier.of(grams, counts.width) for grams in told]
        # [G] each: where a gram's last two ids stand among the pairs, the slots of a row.
        self._slots = [self._slot(tier) for tier in self._tiers[1:]]
        lengths = np.array([len(document) for document in documents], np.int64)
        self._line = _joined(documents)
        self.starts = np.cumsum(lengths) - lengths
        self.document = np.repeat(np.arange(len(lengths)), lengths)
        self._own = self._owned(documents, counts)
        self._reading = Reading(*self._settle(self._contexts(documents), self.document))

    def read(self, sequences: Sequence[Ids]) -> Reading:
        """Where every position of new documents stands, all laid in one line."""
        return Reading(*self._settle(self._contexts(sequences), None))

    def rows(self, at: Indices, reading: Reading | None = None) -> Rows:
        """What is said at some positions: of new documents, or of training data by all others."""
        if reading is not None:
            places = [place.take(at) for place in reading.places]
            return self._rows(
                self._base(None)[None], np.zeros(len(at), np.int64), reading.mass[at], places
            )
        chosen, group = np.unique(self.document[at], return_inverse=True)
        base = np.array([self._base(int(document)) for document in chosen]).reshape(-1, self.size)
        own = self._reading
        return self._rows(base, group, own.mass[at], [place.take(at) for place in own.places])

    def fresh(self, sequences: Sequence[Ids]) -> Rows:
        """What all documents say at every position of new ones."""
        return self.rows(np.arange(sum(map(len, sequences))), self.read(sequences))

    def log_probs(self, sequences: Sequence[Ids] | None = None) -> NDArray[np.float32]:
        """[T]: ln p of every symbol of new documents, or of the training data by all others."""
        line = self._line if sequences is None else _joined(sequences)
        reading = None if sequences is None else self.read(sequences)
        found = np.zeros(len(line), np.float32)
        for start in range(0, len(line), BLOCK):
            at = np.arange(start, min(start + BLOCK, len(line)))
            found[at] = self.rows(at, reading).log_probs(line[at])
        return found

    def _rows(self, base: Reals, group: Indices, mass: Reals, places: Sequence[Places]) -> Rows:
        pairs, first = self._tiers[1], places[0]
        began = pairs.starts[first.context]  # of -1 too, where the length is 0
        lengths = np.where(first.context >= 0, pairs.starts[first.context + 1] - began, 0)
        offset = np.cumsum(lengths) - lengths - began
        owner, gram = spans(began, lengths)
        values = (pairs.kept[gram] * first.weight[owner]).astype(np.float32)
        for tier, slot, own, place in zip(
            self._tiers[1:], self._slots, self._own[1:], places, strict=True
        ):
            if tier is not pairs:
                self._add(values, offset, place, slot, tier)
            self._correct(values, offset, place, slot, own)
        symbols = (pairs.keys[gram] & np.uint64((1 << self.width) - 1)).astype(np.int64)
        left = mass[owner].astype(np.float32) * base.astype(np.float32)[group[owner], symbols]
        return Rows(
            np.log(base).astype(np.float32), group, np.log(mass).astype(np.float32),
            owner, symbols, np.log1p(np.maximum(values, 0) / left),
        )  # fmt: skip

    def _add(
        self, values: NDArray[np.float32], offset: Indices, place: Places, slot: Indices, tier: Tier
    ) -> None:
        """Add what a longer context has seen."""
        began = tier.starts[place.context]
        lengths = np.where(place.context >= 0, tier.starts[place.context + 1] - began, 0)
        owner, gram = spans(began, lengths)
        values[offset[owner] + slot[gram]] += tier.kept[gram] * place.weight[owner]

    def _correct(
        self, values: NDArray[np.float32], offset: Indices, place: Places, slot: Indices, own: Own
    ) -> None:
        """Take out what the position's own document put in."""
        known = np.flatnonzero(place.own >= 0)
        group = place.own[known]
        owner, entry = spans(own.starts[group], own.starts[group + 1] - own.starts[group])
        at = known[owner]
        values[offset[at] + slot[own.grams[entry]]] += own.change[entry] * place.weight[at]

    def _base(self, document: int | None) -> Reals:
        """[V]: the lowest order, without one document."""
        tier, own = self._tiers[0], self._own[0]
        kept, total, held = tier.kept, float(tier.total.sum()), float(tier.held.sum())
        at = -1 if document is None else int(locate(own.groups, np.array([document]))[0])
        if at >= 0:
            span = slice(own.starts[at], own.starts[at + 1])
            kept = kept.copy()
            kept[own.grams[span]] += own.change[span]
            total, held = total - float(own.total[at]), held + float(own.held[at])
        if total <= 0:
            return np.full(self.size, 1 / self.size)
        p = np.full(self.size, held / total / self.size)
        p[tier.keys.astype(np.int64)] += np.maximum(kept, 0) / total
        return p

    def _slot(self, tier: Tier) -> Indices:
        pair = tier.keys & np.uint64((1 << 2 * self.width) - 1)
        return np.searchsorted(self._tiers[1].keys, pair)

    def _owned(self, documents: Sequence[Ids], counts: Counts) -> list[Own]:
        """For every order what each document alone put in."""
        found: list[Own] = []
        above: tuple[Indices, Indices, Keys] | None = None
        grams = list(windows(documents, self.order, self.width))
        for k in range(self.order, 0, -1):
            ends, keys = grams[k - 1]
            seen = counts.grams[k - 1]
            document, gram, count = _pairs(self.document[ends], np.searchsorted(seen.keys, keys))
            only = count == seen.counts[gram]
            tier = self._tiers[k - 1]
            if above is None:
                found.append(Own.of(tier, document, gram, count))
            else:
                found.append(self._exclusive(tier, k, above, (document, seen.keys[gram], count)))
            above = (document[only], gram[only], seen.keys[gram[only]])
        return found[::-1]

    def _exclusive(
        self,
        tier: Tier,
        k: int,
        above: tuple[Indices, Indices, Keys],
        plain: tuple[Indices, Keys, Indices],
    ) -> Own:
        """Left neighbours that only one document has seen; plain counts of what opens one."""
        suffix = above[2] & np.uint64((1 << self.width * k) - 1)
        document, keys, count = above[0], suffix, np.ones(len(suffix), np.int64)
        if k > 1:
            opens = plain[1] >> np.uint64(self.width * (k - 1)) == 0
            document = np.concatenate([document, plain[0][opens]])
            keys = np.concatenate([keys, plain[1][opens]])
            count = np.concatenate([count, plain[2][opens]])
        return Own.of(tier, *_pairs(document, np.searchsorted(tier.keys, keys), count))

    def _contexts(self, sequences: Sequence[Ids]) -> list[Indices]:
        """[T] for every order from 2: the index of the context; -1 where it was never seen."""
        found = []
        length = sum(map(len, sequences))
        for (ends, keys), tier in zip(
            list(windows(sequences, self.order, self.width))[1:], self._tiers[1:], strict=True
        ):
            context = np.full(length, -1)
            context[ends] = locate(tier.contexts, keys >> np.uint64(self.width))
            found.append(context)
        return found

    def _settle(
        self, contexts: list[Indices], document: Indices | None
    ) -> tuple[list[Places], Reals]:
        """Weights of every order from 2, and the mass that is left to the base."""
        mass = np.ones(len(contexts[0]))
        found: list[Places] = []
        for tier, own, context in zip(
            self._tiers[:0:-1], self._own[:0:-1], contexts[::-1], strict=True
        ):
            group = np.full(len(context), -1)
            if document is not None:
                group = own.find(tier, document, context)
            total = _pick(tier.total, context) - _pick(own.total, group)
            held = _pick(tier.held, context) + _pick(own.held, group)
            known = total > 0
            weight = np.where(known, mass / np.maximum(total, 1), 0.0)
            mass = np.where(known, weight * held, mass)
            found.append(Places(np.where(known, context, -1), np.where(known, group, -1), weight))
        return found[::-1], mass


def _joined(sequences: Sequence[Ids]) -> Ids:
    return np.concatenate([np.zeros(0, np.int32), *sequences])


def _pick(values: Reals, at: Indices) -> Reals:
    """The values at indices, 0 for -1."""
    return np.append(values, 0.0)[at]


def _pairs(
    document: Indices, gram: Indices, weights: Indices | None = None
) -> tuple[Indices, Indices, Indices]:
    """Distinct (document, gram), and how often each came or the sum of its weights."""
    size = int(gram.max()) + 1 if len(gram) else 1
    keys, inverse = np.unique(document * size + gram, return_inverse=True)
    count = np.bincount(inverse, weights, len(keys)).astype(np.int64)
    return keys // size, keys % size, count

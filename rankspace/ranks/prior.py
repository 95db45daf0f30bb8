"""What the memory expects next: interpolated Kneser-Ney, down to even odds for what was never seen.

    p_k(w|c) = (n(c,w) - D(n(c,w))) / n(c)  +  rest(c) · p_{k-1}(w|c')       p_0(w) = 1 / V
    rest(c)  = Σ_w D(n(c,w)) / n(c)

c' is c without its first id. n is the count of the gram at the highest order and, below it, the
number of its distinct left neighbours: how many contexts a symbol is ready to follow, not how often
it came. D is 0 for n = 0 and D1, D2, D3 for n = 1, 2, 3 and more, from the counts of counts. What
was held back goes to the shorter context, so every row sums to 1 and all probabilities are above 0.

Shapes: V symbols; sequences int32 [N], each one sample; tables float32 [V, V], row = symbol before.
Laws: rows sum to 1; `restrict` is the same law, renormalised inside its set.
Source: Kneser & Ney, ICASSP 1995; modified discounts and interpolation: Chen & Goodman, Harvard
TR-10-98, 1998 (both recalled, not re-read).
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from rankspace.errors import InvalidInput
from rankspace.ranks.counts import Counts, Grams, Keys, windows
from rankspace.ranks.rows import spans
from rankspace.ranks.vocabulary import Ids

Reals = NDArray[np.float64]
ROWS = 256  # rows of a table worked on at once: bounds the scratch memory to a few MB


@dataclass(frozen=True, slots=True, eq=False)
class Level:
    """One order of the back-off: what was seen after each context, and what is left to the next."""

    keys: Keys  # [G], ascending: context and symbol
    share: Reals  # [G]
    contexts: Keys  # [C], ascending
    rest: Reals  # [C]

    @classmethod
    def of(cls, grams: Grams, width: int) -> "Level":
        contexts, owner = np.unique(grams.keys >> np.uint64(width), return_inverse=True)
        held = discounts(grams.counts)[np.minimum(grams.counts, 3)]
        total = np.bincount(owner, grams.counts, len(contexts))
        return cls(
            grams.keys,
            (grams.counts - held) / total[owner],
            contexts,
            np.bincount(owner, held, len(contexts)) / total,
        )


@dataclass(frozen=True, slots=True, eq=False)
class Prior:
    """The law of the next symbol given up to `order - 1` before it."""

    size: int
    width: int  # bits per id in the keys
    unigram: Reals  # [V]: plain frequencies, smoothed: how often, whatever came before
    base: Reals  # [V]: the floor of the back-off; the unigram itself at order 1
    levels: tuple[Level, ...]  # of order 2 to n

    @classmethod
    def fit(cls, counts: Counts, size: int, order: int = 2) -> "Prior":
        """The prior of these counts over a vocabulary of `size` ids."""
        if not 1 <= order <= counts.order:
            raise InvalidInput(f"the order must be 1 to {counts.order}, not {order}", "order")
        if counts.grams[0].keys.size and counts.grams[0].keys[-1] >= size:
            raise InvalidInput(f"the counts hold ids beyond a vocabulary of {size}", "size")
        width = counts.width
        below = [counts.continuations(k) for k in range(1, order)]
        floor, *rest = [*below, counts.grams[order - 1]]
        return cls(
            size,
            width,
            _spread(counts.grams[0], width, size),
            _spread(floor, width, size),
            tuple(Level.of(grams, width) for grams in rest),
        )

    @property
    def order(self) -> int:
        """How many symbols a probability looks at: 1 for the unigram, 2 for the bigram."""
        return len(self.levels) + 1

    def log_probs(self, sequences: Sequence[Ids]) -> NDArray[np.float32]:
        """[N]: ln p of every symbol of these samples, one after the other."""
        grams = list(windows(sequences, self.order, self.width))
        p = self.base[grams[0][1].astype(np.int64)]
        for level, (ends, keys) in zip(self.levels, grams[1:], strict=True):
            share = _look_up(level.keys, level.share, keys, 0.0)
            rest = _look_up(level.contexts, level.rest, keys >> np.uint64(self.width), 1.0)
            p[ends] = share + rest * p[ends]
        return _log(p)

    def log_prob(self, sequence: Ids) -> NDArray[np.float32]:
        """[N]: ln p of each symbol of one sample given those before it."""
        return self.log_probs([sequence])

    def cross_entropy(self, sequences: Sequence[Ids]) -> float:
        """Nats per symbol."""
        return float(-self.log_probs(sequences).mean(dtype=np.float64))

    def log_row(self, context: Ids) -> NDArray[np.float32]:
        """[V]: ln p of every symbol after these; a sample's context begins with PAD."""
        p, prefix = self.base, 0
        for depth, level in enumerate(self.levels[: len(context)], start=1):
            prefix |= int(context[-depth]) << self.width * (depth - 1)
            edges = np.array([prefix, prefix + 1], np.uint64)
            start, stop = np.searchsorted(level.keys, edges << np.uint64(self.width))
            p = p * _look_up(level.contexts, level.rest, edges[:1], 1.0)
            p[_last(level.keys[start:stop], self.width)] += level.share[start:stop]
        return _log(p)

    def log_unigram(self) -> NDArray[np.float32]:
        """[V]: ln of how often each symbol comes, whatever came before."""
        return _log(self.unigram)

    def laws(self, past: Ids) -> tuple[Reals, Reals]:
        """[N, V]: the odds of every symbol after each row of `past`; [N]: what is left to the base.

        A row of [N, order - 1] holds the symbols before, the last one last; what a sample has not
        got is PAD, and one PAD is the mark of its start.
        """
        keys = past.astype(np.uint64)
        prefix = np.zeros(len(past), np.uint64)
        contexts = []
        for depth in range(1, self.order):
            prefix = prefix | keys[:, -depth] << np.uint64(self.width * (depth - 1))
            contexts.append(prefix)
        p, left = np.zeros((len(past), self.size)), np.ones(len(past))
        for level, context in zip(self.levels[::-1], contexts[::-1], strict=True):
            edges = np.stack([context, context + np.uint64(1)]) << np.uint64(self.width)
            start, stop = np.searchsorted(level.keys, edges)
            owner, gram = spans(start, stop - start)
            p[owner, _last(level.keys[gram], self.width)] += left[owner] * level.share[gram]
            left = left * _look_up(level.contexts, level.rest, context, 1.0)
        return p + np.multiply.outer(left, self.base), left

    def bigrams(self) -> NDArray[np.float32]:
        """[V, V]: the probability of each symbol (column) after each symbol (row)."""
        if self.order != 2:
            raise InvalidInput(f"a table of pairs needs order 2, not {self.order}", "order")
        level = self.levels[0]
        rest = np.ones(self.size, np.float32)
        rest[level.contexts.astype(np.int64)] = level.rest
        table = np.multiply.outer(rest, self.base.astype(np.float32))
        rows = (level.keys >> np.uint64(self.width)).astype(np.int64)
        table[rows, _last(level.keys, self.width)] += level.share.astype(np.float32)
        return table

    def bigram_table(self) -> NDArray[np.float32]:
        """[V, V]: ln p of each symbol (column) after each symbol (row); row PAD opens a sample."""
        table = self.bigrams()
        for start in range(0, self.size, ROWS):
            rows = table[start : start + ROWS].astype(np.float64)
            table[start : start + ROWS] = _log(rows / rows.sum(1, keepdims=True))
        return table

    def restrict(self, mask: NDArray[np.bool_]) -> "Prior":
        """This law given that the symbol is one of the set; ln p is -inf for all others.

        A context's mass inside the set obeys the back-off too, so the result is again a prior:
        Z_k(c) = Σ share(c, w in set) + rest(c) · Z_{k-1}(c').
        """
        if not mask.any():
            raise InvalidInput("the set of allowed symbols is empty", "mask")
        base = np.where(mask, self.base, 0.0)
        unigram = np.where(mask, self.unigram, 0.0)
        below = Level(
            np.zeros(0, np.uint64), np.zeros(0), np.zeros(1, np.uint64), np.array([base.sum()])
        )
        levels = []
        for depth, level in enumerate(self.levels):
            inner, mass = self._inside(level, mask, below, depth)
            levels.append(inner)
            below = replace(level, rest=mass)
        base, unigram = base / base.sum(), unigram / unigram.sum()
        return Prior(self.size, self.width, unigram, base, tuple(levels))

    def _inside(
        self, level: Level, mask: NDArray[np.bool_], below: Level, depth: int
    ) -> tuple[Level, Reals]:
        """A level kept inside the set, and the mass [C] each of its contexts had there."""
        kept = mask[_last(level.keys, self.width)]
        keys, share = level.keys[kept], level.share[kept]
        owner = np.searchsorted(level.contexts, keys >> np.uint64(self.width))
        shorter = level.contexts & np.uint64((1 << self.width * depth) - 1)
        rest = level.rest * _look_up(below.contexts, below.rest, shorter, 1.0)
        mass = np.bincount(owner, share, len(rest)) + rest
        return Level(keys, share / mass[owner], level.contexts, rest / mass), mass


def discounts(counts: NDArray[np.int64]) -> Reals:
    """[4]: what to hold back from a count of 0, 1, 2, and 3 or more.

    Chen & Goodman's estimate; where the data are too few for one of its terms, plain absolute
    discounting D = n1 / (n1 + 2 n2), and a half where even that is not defined.
    """
    n1, n2, n3, n4 = (int((counts == times).sum()) for times in (1, 2, 3, 4))
    if not (n1 and n2):
        return np.array([0.0, 0.5, 0.5, 0.5])
    plain = n1 / (n1 + 2 * n2)
    if not (n3 and n4):
        return np.array([0.0, plain, plain, plain])
    found = [0.0, 1 - 2 * plain * n2 / n1, 2 - 3 * plain * n3 / n2, 3 - 4 * plain * n4 / n3]
    # Odd counts of counts can leave the range in which discounting means anything.
    return np.clip(found, [0.0, 0.1, 0.1, 0.1], [0.0, 1.0, 2.0, 3.0])


def _spread(grams: Grams, width: int, size: int) -> Reals:
    """[V]: single symbols, discounted, over the even floor 1 / V."""
    level = Level.of(grams, width)
    p = np.full(size, (level.rest[0] if level.rest.size else 1.0) / size)
    p[level.keys.astype(np.int64)] += level.share
    return p


def _look_up(keys: Keys, values: Reals, asked: Keys, missing: float) -> Reals:
    if not keys.size:
        return np.full(len(asked), missing)
    place = np.minimum(np.searchsorted(keys, asked), len(keys) - 1)
    return np.where(keys[place] == asked, values[place], missing)


def _last(keys: Keys, width: int) -> NDArray[np.int64]:
    return (keys & np.uint64((1 << width) - 1)).astype(np.int64)


def _log(p: Reals) -> NDArray[np.float32]:
    with np.errstate(divide="ignore"):  # outside a restricted set p is 0 on purpose
        return np.log(p).astype(np.float32)

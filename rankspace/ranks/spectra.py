"""What a source looks like before anything is trained: rank–frequency curves and entropies.

A curve is how often the r-th most frequent symbol comes, thinned to points even in ln r, as it is
drawn. Entropies go by order: what one symbol costs when 0, 1, 2… before it are known, once as the
plug-in value of the counts themselves, which flatters, and once as what the Kneser-Ney prior pays
on samples it has not seen, which does not.

Shapes: counts by rank int64 [N]; points of a curve [M], M ≤ `points`; entropies in nats per symbol.
Law: on the counts themselves, knowing the symbol before never costs more.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rankspace.ranks.counts import Counts
from rankspace.ranks.prior import Prior
from rankspace.ranks.vocabulary import Ids, Vocabulary
from rankspace.ranks.zipf import SEEN_MIN, ZipfFit, fit, split

POINTS = 120
BITS_PER_NAT = 1 / math.log(2)


@dataclass(frozen=True, slots=True, eq=False)
class Curve:
    """How often each rank comes, at ranks even on a logarithmic axis."""

    ranks: NDArray[np.int64]  # [M], from 1
    frequencies: NDArray[np.float64]  # [M], shares of the total


@dataclass(frozen=True, slots=True, eq=False)
class Spectrum:
    """One alphabet, as the data use it."""

    name: str
    size: int
    """How many symbols the alphabet has."""

    used: int
    """How many of them were seen."""

    total: int
    """How many times any of them was seen."""

    entropy: float
    """Nats per symbol, of their frequencies."""

    curve: Curve
    zipf: ZipfFit | None
    """The law of split-sample ranks; None where too few symbols were seen."""


@dataclass(frozen=True, slots=True)
class OrderEntropy:
    """What a symbol costs when `order - 1` before it are known, in nats."""

    order: int
    plug_in: float
    """Of the counts themselves: too low, the more so the higher the order."""

    held_out: float
    """Of the Kneser-Ney prior on samples it has not seen."""

    @property
    def held_out_bits(self) -> float:
        """The same in bits."""
        return self.held_out * BITS_PER_NAT


def curve(counts: NDArray[np.int64], points: int = POINTS) -> Curve:
    """The curve of counts by rank; ranks after the last that was seen are left out."""
    last = int(np.max(np.flatnonzero(counts), initial=-1)) + 1
    ranks = np.unique(np.geomspace(1, max(last, 1), points).round().astype(np.int64))[:last]
    return Curve(ranks, counts[ranks - 1] / max(int(counts.sum()), 1))


def spectra(counts: Counts, vocabulary: Vocabulary) -> tuple[Spectrum, ...]:
    """The spectrum of every alphabet, in the vocabulary's order."""
    frequencies = counts.frequencies(vocabulary.size)
    return tuple(
        spectrum(name, frequencies[vocabulary.groups == group])
        for group, name in enumerate(vocabulary.names)
        if group
    )


def spectrum(name: str, frequencies: NDArray[np.int64], seed: int = 0) -> Spectrum:
    """The spectrum of one alphabet [S], given how often each symbol came."""
    total = int(frequencies.sum())
    halves = split(frequencies, seed)
    share = frequencies[frequencies > 0] / max(total, 1)
    return Spectrum(
        name=name,
        size=len(frequencies),
        used=len(share),
        total=total,
        entropy=float(-(share * np.log(share)).sum()),
        curve=curve(np.sort(frequencies)[::-1]),
        zipf=fit(halves) if (halves > 0).sum() >= SEEN_MIN else None,
    )


def plug_in_entropy(counts: Counts, order: int) -> float:
    """Nats per symbol given the `order - 1` before it, taking the counts at their word.

    Over the symbols that have as many before them, counting the PAD that opens a sample.
    """
    grams = counts.grams[order - 1]
    if not grams.keys.size:
        return 0.0
    _, owner = np.unique(grams.keys >> np.uint64(counts.width), return_inverse=True)
    share = grams.counts / np.bincount(owner, grams.counts)[owner]
    return float(-(grams.counts @ np.log(share)) / grams.counts.sum())


def entropies(seen: Counts, held_out: Sequence[Ids], size: int) -> tuple[OrderEntropy, ...]:
    """One entry an order, from 1 to that of the counts."""
    return tuple(
        OrderEntropy(
            order,
            plug_in_entropy(seen, order),
            Prior.fit(seen, size, order).cross_entropy(held_out),
        )
        for order in range(1, seen.order + 1)
    )


def cross_entropies(
    prior: Prior, sequences: Sequence[Ids], vocabulary: Vocabulary
) -> dict[str, float]:
    """Nats per symbol of each alphabet that occurs; the marks between parts go by the name ""."""
    if not sequences:
        return {}
    groups = vocabulary.groups[np.concatenate(sequences)]
    often = np.bincount(groups, minlength=len(vocabulary.names))
    cost = np.bincount(groups, -prior.log_probs(sequences), len(vocabulary.names))
    return {
        name: float(cost[group] / often[group])
        for group, name in enumerate(vocabulary.names)
        if often[group]
    }

"""How often each run of up to n symbols was seen: the memory, as sorted arrays that merge.

A gram of k ids is packed into one uint64, its first id in the highest bits, so that sorting keys
sorts by context first, and context, suffix and last symbol are a shift or a mask away. Counts form
a commutative monoid under `merge` with `empty` as its unit: any number of workers may count any
parts of the data in any order. Nothing is counted across the border of a sample; before its
first symbol stands one `PAD`, so that what opens a sample is counted as what follows PAD.

Shapes: grams of order k are keys uint64 [G_k], ascending, and counts int64 [G_k].
Laws: merge is associative and commutative; `of(a + b) == merge(of(a), of(b))`.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file

from rankspace.errors import Corrupt, InvalidInput
from rankspace.ranks.vocabulary import PAD, Ids

Keys = NDArray[np.uint64]
FILE = "counts.safetensors"
KEY_BITS = 63  # one bit spare, so that `1 << bits` never wraps


def bits(order: int) -> int:
    """Bits per id: grams of `order` ids fill one key; 21 for order 3, hence ids below 2^21."""
    return KEY_BITS // order


@dataclass(frozen=True, slots=True, eq=False)
class Grams:
    """Distinct grams of one order."""

    keys: Keys  # [G], ascending
    counts: NDArray[np.int64]  # [G], positive

    @classmethod
    def tally(cls, keys: Keys, weights: NDArray[np.int64] | None = None) -> "Grams":
        """Each distinct key once, with how often it came or with the sum of its weights."""
        if weights is None:
            return cls(*np.unique(keys, return_counts=True))
        if not keys.size:
            return cls(keys, weights)
        by_key = np.argsort(keys, kind="stable")
        keys = keys[by_key]
        first = np.flatnonzero(np.append(True, keys[1:] != keys[:-1]))
        return cls(keys[first], np.add.reduceat(weights[by_key], first))


@dataclass(frozen=True, slots=True, eq=False)
class Counts:
    """Grams of order 1 to n."""

    grams: tuple[Grams, ...]

    @property
    def order(self) -> int:
        """n, the length of the longest grams."""
        return len(self.grams)

    @property
    def width(self) -> int:
        """Bits per id in the keys."""
        return bits(self.order)

    @property
    def total(self) -> int:
        """How many symbols were counted."""
        return int(self.grams[0].counts.sum())

    @classmethod
    def empty(cls, order: int = 3) -> "Counts":
        """Nothing seen yet."""
        return cls.of([], order)

    @classmethod
    def of(cls, sequences: Sequence[Ids], order: int = 3) -> "Counts":
        """What these samples hold, each its own sequence of ids."""
        if order < 1:
            raise InvalidInput(f"the order must be at least 1, not {order}", "order")
        return cls(tuple(Grams.tally(keys) for _, keys in windows(sequences, order, bits(order))))

    def merge(self, other: "Counts") -> "Counts":
        """What both have seen."""
        if self.order != other.order:
            raise InvalidInput(f"counts of order {self.order} and {other.order} do not merge")
        return Counts(
            tuple(
                Grams.tally(
                    np.concatenate([one.keys, two.keys]), np.concatenate([one.counts, two.counts])
                )
                for one, two in zip(self.grams, other.grams, strict=True)
            )
        )

    def continuations(self, order: int) -> Grams:
        """In how many different places each gram was seen: its distinct left neighbours.

        Grams that open a sample have no left neighbour to vary and keep their plain counts
        (Chen & Goodman 1998, recalled: "start of sentence" in Kneser-Ney).
        """
        width = self.width * order
        inner = Grams.tally(self.grams[order].keys & np.uint64((1 << width) - 1))
        if order == 1:
            return inner
        plain = self.grams[order - 1]
        opens = plain.keys >> np.uint64(width - self.width) == PAD
        return Grams.tally(
            np.concatenate([inner.keys, plain.keys[opens]]),
            np.concatenate([inner.counts, plain.counts[opens]]),
        )

    def frequencies(self, size: int) -> NDArray[np.int64]:
        """[V]: how often each id was seen."""
        found = np.zeros(size, np.int64)
        found[self.grams[0].keys.astype(np.int64)] = self.grams[0].counts
        return found

    def save(self, folder: Path) -> None:
        """Write `counts.safetensors`."""
        arrays: dict[str, NDArray[np.uint64] | NDArray[np.int64]] = {}
        for order, grams in enumerate(self.grams, start=1):
            arrays[f"keys.{order}"], arrays[f"counts.{order}"] = grams.keys, grams.counts
        save_file(arrays, folder / FILE)

    @classmethod
    def load(cls, folder: Path) -> "Counts":
        """The counts saved in this folder; raises Corrupt if they are not readable."""
        try:
            arrays = load_file(folder / FILE)
            orders = range(1, len(arrays) // 2 + 1)
            return cls(tuple(Grams(arrays[f"keys.{k}"], arrays[f"counts.{k}"]) for k in orders))
        except (OSError, SafetensorError, KeyError) as error:
            raise Corrupt(f"{FILE} is missing or holds no counts") from error


def windows(
    sequences: Sequence[Ids], order: int, width: int
) -> Iterator[tuple[NDArray[np.int64], NDArray[np.uint64]]]:
    """For k = 1 to `order`: where grams of k ids end, in the joined sequences, and their keys."""
    lengths = np.array([len(sequence) + 1 for sequence in sequences], np.int64)
    joined = np.concatenate(
        [np.zeros(0, np.int32), *(part for one in sequences for part in (_PAD, one))]
    )
    if joined.size and not 0 <= joined.min() <= joined.max() < 1 << width:
        raise InvalidInput(f"ids must lie in 0 to {(1 << width) - 1} to be counted", "ids")
    flat = joined.astype(np.uint64)
    place = np.arange(len(flat)) - np.repeat(np.cumsum(lengths) - lengths, lengths)
    symbol = np.arange(len(flat)) - np.repeat(np.arange(1, len(lengths) + 1), lengths)
    keys = flat.copy()
    for k in range(1, order + 1):
        if k > 1:
            keys[k - 1 :] |= flat[: max(len(flat) - k + 1, 0)] << np.uint64(width * (k - 1))
        whole = place >= max(k - 1, 1)
        yield symbol[whole], keys[whole]


_PAD = np.array([PAD], np.int32)

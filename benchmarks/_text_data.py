"""Stories, cut and counted the same way for every arm of a benchmark.

A story is begin, symbols, end. One row of a batch is one story, or a random window of one that is
longer than the context; rows are filled up on the right, where nothing looks. On held-out stories
a longer one is read in windows that move by half a context, and each symbol is asked for once, in
the first window that reaches it. No row holds two stories, so nothing is known across their border.

Bits per byte: nats of all symbols of a story and of its end, over ln 2 times its bytes. Every byte
of every held-out story is counted once.

Shapes: B rows, T context. Data: `tinystories_ru`, in a folder under RANKSPACE_DATA or under
../shared/data beside the repository, or inside `text_tasks_visible.tar.xz` there.
"""

import json
import os
import tarfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from itertools import islice
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Int
from numpy.typing import NDArray
from torch import Tensor

from rankspace.codecs.base import encode
from rankspace.codecs.text import TextCodec, TextConfig
from rankspace.errors import NotFound
from rankspace.ranks.counts import Counts
from rankspace.ranks.crossfit import CrossFit
from rankspace.ranks.space import ORDER, Space
from rankspace.ranks.vocabulary import Ids, Vocabulary

ROOT = Path(__file__).parent.parent
FOLDER = "tinystories_ru"
ARCHIVE = "text_tasks_visible.tar.xz"
SYMBOLS = 2048
CONTEXT = 256
TUNE = 128
"""Held-out stories that rates, orders and stopping are chosen on; the others are reported."""


def home() -> Path:
    """Where data are looked for."""
    return Path(os.environ.get("RANKSPACE_DATA", ROOT.parent / "shared" / "data"))


def lines(split: str) -> Iterator[bytes]:
    """Lines of a split; raises NotFound with what to do."""
    root = home()
    name = f"{split}.jsonl"
    found = next(root.rglob(f"{FOLDER}/{name}"), None) if root.is_dir() else None
    if found:
        with found.open("rb") as file:
            yield from file
        return
    archive = root / ARCHIVE
    if not archive.is_file():
        raise NotFound(
            f"no stories: neither a folder {FOLDER} nor {ARCHIVE} lies in {root}; "
            "set RANKSPACE_DATA to where one of them is"
        )
    with tarfile.open(archive) as tar:
        for member in tar:
            if member.name.endswith(f"{FOLDER}/{name}"):
                file_in = tar.extractfile(member)
                yield from file_in or ()
                return
    raise NotFound(f"{ARCHIVE} in {root} holds no {FOLDER}/{name}")


def stories(split: str, start: int = 0, stop: int | None = None) -> list[bytes]:
    """Stories of a split, in their order."""
    return [json.loads(line)["story"].encode() for line in islice(lines(split), start, stop)]


@dataclass(frozen=True, slots=True, eq=False)
class Batch:
    """Rows to read and what follows each of their symbols."""

    symbols: Int[Tensor, "b t"]
    targets: Int[Tensor, "b t"]
    """-1 where nothing is asked."""

    places: Int[Tensor, "b t"]
    """Where each target stands in its set, all stories laid end to end; -1 for no target."""

    @property
    def asked(self) -> int:
        """How many symbols are asked for."""
        return int((self.targets >= 0).sum())


class Stories:
    """A set of stories as ids."""

    def __init__(self, texts: Sequence[bytes], ids: Sequence[Ids]) -> None:
        self.texts, self.ids = list(texts), list(ids)
        self.bytes = sum(map(len, texts))
        lengths = np.array([len(one) for one in ids], np.int64)
        self.starts = np.cumsum(lengths) - lengths
        self.line = np.concatenate(self.ids)

    def __len__(self) -> int:
        return len(self.ids)

    def draw(self, seed: int, step: int, rows: int, context: int) -> Batch:
        """The rows of a training step: each story once an epoch, in an order of the seed's."""
        first = step * rows
        chosen = [self._turn(seed, at) for at in range(first, first + rows)]
        random = np.random.default_rng((seed, step, 1))
        over = (max(0, len(self.ids[at]) - 1 - context) for at in chosen)
        starts = [int(random.integers(more + 1)) for more in over]
        cuts = [(at, start, 0) for at, start in zip(chosen, starts, strict=True)]
        return self._rows(cuts, context)

    def windows(self, context: int, rows: int, count: int | None = None) -> Iterator[Batch]:
        """The first stories, or all, every symbol asked for once."""
        cuts = []
        for at, ids in enumerate(self.ids[:count]):
            last = max(0, len(ids) - 1 - context)
            starts = [*range(0, last, context // 2), last]
            asked = 0
            for start in starts:
                cuts.append((at, start, asked - start))  # the last may overlap by more than half
                asked = start + context
        for first in range(0, len(cuts), rows):
            yield self._rows(cuts[first : first + rows], context)

    def size(self, count: int | None = None) -> int:
        """Bytes of the first stories, or of all."""
        return sum(map(len, self.texts[:count]))

    def _turn(self, seed: int, at: int) -> int:
        epoch, inside = divmod(at, len(self.ids))
        return int(_shuffled(seed, epoch, len(self.ids))[inside])

    def _rows(self, cuts: Sequence[tuple[int, int, int]], context: int) -> Batch:
        """Windows of (story, start, skip); the first `skip` targets are not asked for."""
        symbols = np.zeros((len(cuts), context), np.int64)
        targets = np.full((len(cuts), context), -1, np.int64)
        places = np.full((len(cuts), context), -1, np.int64)
        for row, (at, start, skip) in enumerate(cuts):
            window = self.ids[at][start : start + context + 1]
            width = len(window) - 1
            symbols[row, :width] = window[:-1]
            targets[row, skip:width] = window[1 + skip :]
            first = self.starts[at] + start + 1
            places[row, skip:width] = np.arange(first + skip, first + width)
        return Batch(*map(torch.from_numpy, (symbols, targets, places)))


@lru_cache(maxsize=2)
def _shuffled(seed: int, epoch: int, count: int) -> NDArray[np.int64]:
    return np.random.default_rng((seed, epoch)).permutation(count)


class Corpus:
    """Training stories, a codec learnt from them, and held-out stories of two kinds."""

    def __init__(self, train: Sequence[bytes], valid: Sequence[bytes], size: int = SYMBOLS) -> None:
        tune = min(TUNE, len(valid) // 2)
        self.codec = TextCodec.fit(train, TextConfig(size=size))
        self.vocabulary = Vocabulary.of([("text", "")], self.codec.layout)
        blank = Space({"text": self.codec}, self.vocabulary, Counts.empty(ORDER))
        self.train, self.tune, self.test = (
            Stories(texts, [blank.ids("text", "", encode(self.codec, [text])) for text in texts])
            for texts in (train, valid[:tune], valid[tune:])
        )

    @classmethod
    def load(cls, count: int = 1000, held_out: int | None = None, size: int = SYMBOLS) -> "Corpus":
        """The first training stories, and the held-out ones."""
        return cls(stories("train", 0, count), stories("valid", 0, held_out), size)

    @cached_property
    def space(self) -> Space:
        """Codec, vocabulary and the product's memory of pairs of the training stories."""
        return self.spaced(ORDER)

    def spaced(self, order: int) -> Space:
        """The same with counts of this order."""
        return Space({"text": self.codec}, self.vocabulary, Counts.of(self.train.ids, order))

    def memory(self, order: int) -> CrossFit:
        """A memory of this order."""
        return CrossFit(self.train.ids, self.vocabulary.size, order)

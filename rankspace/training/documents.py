"""Rows of symbols to documents: a trunk and its branches.

A document reads one part, the trunk, and then answers in others, the branches. Every branch goes
on from the trunk as if it were the only one: it sees the trunk and itself, and its times follow
the trunk's. So one reading of a photo teaches its caption in two languages and its sound at once,
and each is learnt the way it will be asked.

    trunk    begin s s s s end
    branch 1                    begin t t end
    branch 2                    begin u u u u end     (same times as branch 1)

A part weighs length^-1/2 in the loss, so that a word is not drowned by the picture beside it, and
a trunk with branches weighs less than what it leads to.

Shapes: all arrays of a document are [N], one entry a symbol.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from rankspace.ranks.space import Reading, Space
from rankspace.ranks.vocabulary import Ids
from rankspace.store.tokens import TokenSample

BRANCHES = 3
TRUNK_WEIGHT = 0.15
TEXT_TRUNK = 0.5
"""How often text is the trunk, to one of media; less where there are more modalities."""

MEDIA_BRANCH = 0.15
"""How often a trunk that text answers is answered in sound or pictures too."""


@dataclass(frozen=True, slots=True, eq=False)
class Document:
    """A trunk and its branches, laid end to end."""

    source: int
    symbols: Ids
    places: Ids
    buckets: Ids
    times: Ids
    branch: Ids
    """0 for the trunk, 1... for the branches."""

    targets: Ids
    """The id that follows; 0 where none is asked for."""

    doors: Ids
    """Index of the alphabet the target is of; -1 where none is asked for."""

    weights: NDArray[np.float32]

    def __len__(self) -> int:
        return len(self.symbols)


class Documents:
    """Draws documents from the rows of a token cache."""

    def __init__(self, space: Space, context: int) -> None:
        self._space = space
        self._context = context
        self._read: dict[int, tuple[TokenSample, list[Reading]]] = {}

    def draw(
        self, source: int, row: TokenSample, random: Generator, answer: TokenSample | None = None
    ) -> Document:
        """A document of this row, at most `context` long; what is answered is of `answer`.

        A row is read in whatever view it is; its answers are the media as they were sent.
        """
        readings = self._readings(row)
        answers = self._readings(answer or row)
        trunk, branches = _plan(readings, random)
        chosen = [self._crop(readings[trunk], random)]
        room = self._context - len(chosen[0].ids)
        for branch in branches:
            if len(answers[branch].ids) <= room:
                chosen.append(answers[branch])
                room -= len(answers[branch].ids)
        return self._document(source, chosen)

    def _readings(self, row: TokenSample) -> list[Reading]:
        """The parts of a row, read once: rows come back many times."""
        found = self._read.get(id(row))
        if found is None:
            readings = [self._space.read(p.modality, p.role, p.symbols) for p in row.parts]
            found = self._read[id(row)] = (row, readings)  # holding the row keeps its id its own
        return found[1]

    def _crop(self, reading: Reading, random: Generator) -> Reading:
        """A window of a part that is longer than the context."""
        over = len(reading.ids) - self._context
        if over <= 0:
            return reading
        cycle = max(1, self._space.codec(reading.modality).cycle)
        start = 1 + int(random.integers(0, over + 1)) // cycle * cycle
        window = np.r_[0, start : start + self._context - 1]
        return Reading(
            reading.modality,
            reading.role,
            reading.ids[window],
            reading.places[window],
            reading.buckets[window],
        )

    def _document(self, source: int, readings: Sequence[Reading]) -> Document:
        trunk = len(readings[0].ids)
        lengths = [len(reading.ids) for reading in readings]
        starts = [0, *([trunk] * (len(readings) - 1))]
        weights = [length**-0.5 for length in lengths]
        if len(readings) > 1:
            weights[0] *= TRUNK_WEIGHT
        return Document(
            source=source,
            symbols=np.concatenate([reading.ids for reading in readings]),
            places=np.concatenate([reading.places for reading in readings]),
            buckets=np.concatenate([reading.buckets for reading in readings]),
            times=np.concatenate(
                [
                    np.arange(at, at + n, dtype=np.int32)
                    for at, n in zip(starts, lengths, strict=True)
                ]
            ),
            branch=np.repeat(np.arange(len(readings), dtype=np.int32), lengths),
            targets=np.concatenate(
                [np.append(reading.ids[1:], np.int32(0)) for reading in readings]
            ),
            doors=np.concatenate([self._doors(reading) for reading in readings]),
            weights=np.repeat(np.array(weights, np.float32), lengths),
        )

    def _doors(self, reading: Reading) -> Ids:
        """The alphabet of each next symbol; none after the last."""
        inside = self._space.alphabets_of(reading.modality, len(reading.ids) - 2)
        return np.append(inside, np.int32(-1)).astype(np.int32)


def _plan(readings: Sequence[Reading], random: Generator) -> tuple[int, list[int]]:
    """Which part is the trunk, and which answer it.

    Media are trunks more often than text where there are several kinds: reading teaches with few
    symbols, drawing and speaking take many. All texts are branches, and now and then one part
    that is not: always if nothing else could be.
    """
    modalities = sorted({reading.modality for reading in readings})
    if len(readings) == 1 or modalities == ["text"]:
        return 0, list(range(1, len(readings)))  # text that goes on has an order of its own
    rare = TEXT_TRUNK / max(1, len(modalities) - 1) ** 2
    odds = np.array([rare if name == "text" else 1.0 for name in modalities])
    modality = modalities[random.choice(len(modalities), p=odds / odds.sum())]
    trunks = [at for at, reading in enumerate(readings) if reading.modality == modality]
    trunk = trunks[random.integers(len(trunks))]
    others = [at for at in range(len(readings)) if at != trunk]
    words = [at for at in others if readings[at].modality == "text"]
    media = [at for at in others if readings[at].modality != "text"]
    if media and (modality == "text" or not words or random.random() < MEDIA_BRANCH):
        words.append(media[random.integers(len(media))])
    return trunk, words[:BRANCHES]

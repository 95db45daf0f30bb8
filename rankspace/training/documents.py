"""Rows of symbols to documents: a trunk and its branches.

A document reads one part, the trunk, and then answers in others, the branches. Every branch goes
on from the trunk as if it were the only one: it sees the trunk and itself, and its times follow
the trunk's. So one reading of a photo teaches its caption in two languages and its sound at once,
and each is learnt the way it will be asked.

    trunk    begin s s s s end
    branch 1                    begin t t end
    branch 2                    begin u u u u end     (same times as branch 1)

A part weighs length^-1/2 in the loss, so that a word is not drowned by the picture beside it, and
a trunk with branches weighs less than what it leads to. Such a trunk is asked for only now and
then, and weighs the more when it is: scoring its many symbols costs more than it teaches.

Shapes: all arrays of a document are [N], one entry a symbol.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from rankspace.ranks.space import Reading, Space
from rankspace.ranks.vocabulary import PAD, Ids
from rankspace.store.tokens import TokenPart, TokenSample

BRANCHES = 3
TRUNK_WEIGHT = 0.15
"""Weight of a trunk with branches, on average."""

TRUNK_ASKED = 1 / 3
"""How often such a trunk is asked for."""

HIDDEN = 0.15
"""Share of the symbols of such a trunk that are hidden: dropout of whole symbols."""

TEXT_TRUNK = 0.3
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


@dataclass(frozen=True, slots=True)
class Sketch:
    """What a document will be made of: cheap to draw, so that all workers can draw them all."""

    source: int
    parts: tuple[TokenPart, ...]
    """The trunk and then its branches."""

    start: int
    """First symbol of the trunk that is read, where it is longer than the context."""

    weight: float
    """Weight of the trunk; 0 where it is not asked for."""

    hidden: int | None
    """The seed that says which symbols of the trunk are hidden; None: none."""

    length: int
    """Symbols of the document."""

    def __len__(self) -> int:
        return self.length


class Documents:
    """Draws documents from the rows of a token cache."""

    def __init__(self, space: Space, context: int) -> None:
        self._space = space
        self._context = context
        self._answers: dict[int, tuple[TokenPart, Reading]] = {}

    def draw(
        self, source: int, row: TokenSample, random: Generator, answer: TokenSample | None = None
    ) -> Document:
        """A document to measure with: nothing of it is hidden, and everything is asked for."""
        sketch = self.sketch(source, row, random, answer)
        weight = TRUNK_WEIGHT if len(sketch.parts) > 1 else 1.0
        return self.lay(replace(sketch, weight=weight, hidden=None))

    def sketch(
        self, source: int, row: TokenSample, random: Generator, answer: TokenSample | None = None
    ) -> Sketch:
        """A document of this row to learn from, at most `context` long.

        A row is read in whatever view it is; what is answered is of `answer`, the media as they
        were sent.
        """
        trunk, branches = _plan(row.parts, random)
        length, start = _length(row.parts[trunk]), 0
        if length > self._context:
            cycle = max(1, self._space.codec(row.parts[trunk].modality).cycle)
            start = int(random.integers(0, length - self._context + 1)) // cycle * cycle
            length = self._context
        chosen = [row.parts[trunk]]
        for branch in ((answer or row).parts[at] for at in branches):
            if length + _length(branch) <= self._context:
                chosen.append(branch)
                length += _length(branch)
        if len(chosen) == 1:
            return Sketch(source, tuple(chosen), start, 1.0, None, length)
        weight = TRUNK_WEIGHT / TRUNK_ASKED if random.random() < TRUNK_ASKED else 0.0
        hidden = int(random.integers(1 << 31))
        return Sketch(source, tuple(chosen), start, weight, hidden, length)

    def lay(self, sketch: Sketch) -> Document:
        """The document itself."""
        trunk, *branches = sketch.parts
        read = self._space.read(trunk.modality, trunk.role, trunk.symbols)
        readings = [self._crop(read, sketch.start), *map(self._answer, branches)]
        return self._document(sketch, readings)

    def _answer(self, part: TokenPart) -> Reading:
        """A branch, read once: views come and go, what is answered is the same few parts."""
        found = self._answers.get(id(part))
        if found is None:
            reading = self._space.read(part.modality, part.role, part.symbols)
            found = self._answers[id(part)] = (part, reading)  # holding it keeps its id its own
        return found[1]

    def _crop(self, reading: Reading, start: int) -> Reading:
        """A window of a part that is longer than the context, its begin mark before it."""
        if len(reading.ids) <= self._context:
            return reading
        window = np.r_[0, 1 + start : start + self._context]
        return Reading(
            reading.modality,
            reading.role,
            reading.ids[window],
            reading.places[window],
            reading.buckets[window],
        )

    def _document(self, sketch: Sketch, readings: Sequence[Reading]) -> Document:
        trunk = len(readings[0].ids)
        lengths = [len(reading.ids) for reading in readings]
        starts = [0, *([trunk] * (len(readings) - 1))]
        weights = [length**-0.5 for length in lengths]
        weights[0] *= sketch.weight
        doors = [self._doors(reading) for reading in readings]
        if not sketch.weight:
            doors[0] = np.full_like(doors[0], -1)
        seen = [_hide(readings[0], sketch.hidden), *readings[1:]]
        return Document(
            source=sketch.source,
            symbols=np.concatenate([reading.ids for reading in seen]),
            places=np.concatenate([reading.places for reading in seen]),
            buckets=np.concatenate([reading.buckets for reading in seen]),
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
            doors=np.concatenate(doors),
            weights=np.repeat(np.array(weights, np.float32), lengths),
        )

    def _doors(self, reading: Reading) -> Ids:
        """The alphabet of each next symbol; none after the last."""
        inside = self._space.alphabets_of(reading.modality, len(reading.ids) - 2)
        return np.append(inside, np.int32(-1)).astype(np.int32)


def _hide(reading: Reading, seed: int | None) -> Reading:
    """Some symbols of a medium replaced by PAD, so that no answer hangs on one of them."""
    if seed is None or reading.modality == "text":
        return reading
    hidden = np.random.default_rng(seed).random(len(reading.ids)) < HIDDEN
    hidden[[0, -1]] = False
    ids, buckets = (np.where(hidden, np.int32(PAD), x) for x in (reading.ids, reading.buckets))
    return Reading(reading.modality, reading.role, ids, reading.places, buckets)


def _length(part: TokenPart) -> int:
    """Symbols of a part with its marks."""
    return len(part.symbols) + 2


def _plan(parts: Sequence[TokenPart], random: Generator) -> tuple[int, list[int]]:
    """Which part is the trunk, and which answer it.

    Media are trunks more often than text where there are several kinds: reading teaches with few
    symbols, drawing and speaking take many. All texts are branches, and now and then one part
    that is not: always if nothing else could be.
    """
    modalities = sorted({part.modality for part in parts})
    if len(parts) == 1 or modalities == ["text"]:
        return 0, list(range(1, len(parts)))  # text that goes on has an order of its own
    rare = TEXT_TRUNK / max(1, len(modalities) - 1) ** 2
    odds = np.array([rare if name == "text" else 1.0 for name in modalities])
    modality = modalities[random.choice(len(modalities), p=odds / odds.sum())]
    trunks = [at for at, part in enumerate(parts) if part.modality == modality]
    trunk = trunks[random.integers(len(trunks))]
    others = [at for at in range(len(parts)) if at != trunk]
    words = [at for at in others if parts[at].modality == "text"]
    media = [at for at in others if parts[at].modality != "text"]
    if media and (modality == "text" or not words or random.random() < MEDIA_BRANCH):
        words.append(media[random.integers(len(media))])
    return trunk, words[:BRANCHES]

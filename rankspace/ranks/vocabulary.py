"""One vocabulary for all modalities: the disjoint union of the codecs' alphabets and a few marks.

Ids are laid out in one fixed way, so that the same kinds and alphabets always give the same ids:

    0 pad · 1 end of sample · 2 end of part · 3… one begin mark per (modality, role) · the alphabets

Kinds and alphabets are sorted first: in what order workers found them changes nothing. A codec
may speak several alphabets at once: a video's symbols are a few of its own, then the picture's,
then the sound's. Such a *layout* maps its local range piece by piece into the shared ranges, so
that a patch is the same id in a photo and in a clip.

Shapes: local symbols and ids are int32 [N]; masks are bool [V].
Laws: `to_local(layout, to_global(layout, x)) == x`; ids of different alphabets never meet.
"""

from collections.abc import Iterable, Sequence
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, ValidationError, model_validator

from rankspace.config import Config
from rankspace.errors import Corrupt, InvalidConfig, InvalidInput, UnknownModality
from rankspace.media.sample import MODALITIES, Modality

Ids = NDArray[np.int32]
Kind = tuple[Modality, str]
Layout = Sequence[tuple[str, int]]
"""Pieces of a local range in order: (alphabet, its whole size)."""

PAD, END_OF_SAMPLE, END_OF_PART = 0, 1, 2
MARKS = 3
FILE = "vocabulary.json"


class VocabularyConfig(Config):
    """What a vocabulary is made of; all ids follow from it."""

    kinds: tuple[Kind, ...]
    """Every (modality, role) that parts of the training data have, sorted, each once."""

    alphabets: tuple[tuple[str, int], ...] = Field(min_length=1)
    """Every alphabet and how many symbols it has, sorted by name, each once."""

    @model_validator(mode="after")
    def _canonical(self) -> "VocabularyConfig":
        names = [name for name, _ in self.alphabets]
        if list(self.kinds) != sorted(set(self.kinds)) or names != sorted(set(names)):
            raise ValueError("kinds and alphabets must be sorted and each named once")
        if any(size < 1 for _, size in self.alphabets):
            raise ValueError("every alphabet needs at least one symbol")
        return self


class Vocabulary:
    """Ids for every symbol of every modality, and for the marks between them."""

    def __init__(self, config: VocabularyConfig) -> None:
        self.config = config
        self.size = MARKS + len(config.kinds)
        self._begins = {kind: MARKS + index for index, kind in enumerate(config.kinds)}
        self._starts: dict[str, int] = {}
        for name, size in config.alphabets:
            self._starts[name] = self.size
            self.size += size

    @classmethod
    def of(cls, kinds: Iterable[Kind], alphabets: Iterable[tuple[str, int]]) -> "Vocabulary":
        """The vocabulary of these, in any order and with repetitions."""
        sizes: dict[str, int] = {}
        for name, size in alphabets:
            if sizes.setdefault(name, size) != size:
                raise InvalidConfig(f"alphabet {name} has both {sizes[name]} and {size} symbols")
        try:
            config = VocabularyConfig(
                kinds=tuple(sorted(set(kinds))), alphabets=tuple(sorted(sizes.items()))
            )
        except ValidationError as error:
            raise InvalidConfig(f"no vocabulary: {error.errors()[0]['msg'].lower()}") from error
        return cls(config)

    def begin(self, modality: Modality, role: str = "") -> int:
        """The mark that opens a part of this kind; raises UnknownModality if none was learnt."""
        try:
            return self._begins[modality, role]
        except KeyError:
            known = ", ".join(f"{name}/{part}" if part else name for name, part in self._begins)
            asked = f"{modality}/{role}" if role else modality
            raise UnknownModality(
                f"the model has not learnt {asked}; it knows {known or 'nothing'}", "target"
            ) from None

    @property
    def begins(self) -> range:
        """The marks that open parts."""
        return range(MARKS, MARKS + len(self.config.kinds))

    def kind_of(self, identifier: int) -> Kind | None:
        """The kind of part that this mark opens; None if it opens none."""
        index = identifier - MARKS
        return self.config.kinds[index] if 0 <= index < len(self.config.kinds) else None

    def modality_of(self, identifier: int) -> Modality | None:
        """The modality of a symbol or of a begin mark; None for the marks that belong to all."""
        if kind := self.kind_of(identifier):
            return kind[0]
        name = self.names[self.groups[identifier]]
        return next((modality for modality in MODALITIES if modality == name), None)

    @property
    def names(self) -> tuple[str, ...]:
        """What the numbers of `groups` mean: "" for the marks, then the alphabets."""
        return ("", *(name for name, _ in self.config.alphabets))

    @cached_property
    def groups(self) -> Ids:
        """[V]: which alphabet each id is of: 0 for the marks, then 1… as in `names`."""
        sizes = [size for _, size in self.config.alphabets]
        marks = MARKS + len(self.config.kinds)
        return np.repeat(np.arange(len(sizes) + 1, dtype=np.int32), [marks, *sizes])

    def mask(self, layout: str | Layout) -> NDArray[np.bool_]:
        """[V]: what may stand inside a part of this layout: its symbols and the end of the part."""
        allowed = np.zeros(self.size, np.bool_)
        allowed[self._table(layout)] = True
        allowed[END_OF_PART] = True
        return allowed

    def to_global(self, layout: str | Layout, symbols: Ids) -> Ids:
        """A codec's symbols as ids; raises InvalidInput for a symbol beyond the layout."""
        table = self._table(layout)
        if symbols.size and not 0 <= symbols.min() <= symbols.max() < len(table):
            raise InvalidInput(f"symbols must lie in 0 to {len(table) - 1}", "symbols")
        return table[symbols]

    def to_local(self, layout: str | Layout, ids: Ids) -> Ids:
        """Ids as a codec's symbols; raises InvalidInput for an id that is none of the layout's."""
        table = self._table(layout)
        inverse = np.full(self.size, -1, np.int32)
        inverse[table] = np.arange(len(table), dtype=np.int32)
        known = (ids >= 0) & (ids < self.size)
        symbols = inverse[np.where(known, ids, PAD)]
        if symbols.size and symbols.min() < 0:
            raise InvalidInput("an id belongs to another modality or is a mark", "ids")
        return symbols

    def save(self, folder: Path) -> None:
        """Write `vocabulary.json`."""
        (folder / FILE).write_text(self.config.model_dump_json(indent=1) + "\n", "utf-8")

    @classmethod
    def load(cls, folder: Path) -> "Vocabulary":
        """The vocabulary saved in this folder; raises Corrupt if it is not one."""
        try:
            return cls(VocabularyConfig.model_validate_json((folder / FILE).read_bytes()))
        except (OSError, ValidationError) as error:
            raise Corrupt(f"{FILE} is missing or is no vocabulary") from error

    def _table(self, layout: str | Layout) -> Ids:
        """[S]: the id of each local symbol; a plain name means the alphabet of that name."""
        sizes = dict(self.config.alphabets)
        names = [(layout, sizes.get(layout, 0))] if isinstance(layout, str) else layout
        for name, size in names:
            if sizes.get(name) != size:
                raise UnknownModality(
                    f"no alphabet {name} of {size} symbols; there are "
                    + ", ".join(f"{known} of {count}" for known, count in self.config.alphabets)
                )
        pieces = [np.arange(self._starts[name], self._starts[name] + size) for name, size in names]
        return np.concatenate([np.zeros(0, np.int64), *pieces]).astype(np.int32)

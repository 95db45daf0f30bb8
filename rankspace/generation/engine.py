"""A trained model, ready to answer: sessions, embeddings and scores.

Shapes: T symbols, D width.
"""

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from rankspace.codecs.base import encode
from rankspace.errors import InvalidInput
from rankspace.generation.request import PartScore
from rankspace.generation.session import Session
from rankspace.media.decode import Decode, within
from rankspace.media.limits import Limits
from rankspace.media.sample import Part
from rankspace.model import folder as model_folder
from rankspace.model.network import Inputs, Network
from rankspace.model.readout import Readout
from rankspace.ranks.space import Reading, Space

CAPACITY = 4096
"""Symbols a session may hold, prompt and answers together."""


class Generator:
    """One model version. Safe to use from several threads; a session is not."""

    def __init__(self, network: Network, space: Space, decode: Decode | None = None) -> None:
        self.network = network
        self.space = space
        self.readout = Readout(space)
        with torch.inference_mode():
            self.unembedding = network.unembedding().clone()
        self._decode = decode or within(Limits())

    @classmethod
    def load(cls, folder: Path, decode: Decode | None = None) -> "Generator":
        """The model saved in this folder; who serves strangers decodes where that does no harm."""
        return cls(*model_folder.load(folder), decode)

    def session(self, capacity: int = CAPACITY) -> Session:
        """Start a conversation."""
        return Session(self, capacity)

    def reading(self, part: Part) -> Reading:
        """A part as the network reads it; raises UnknownModality, MalformedMedia, LimitExceeded."""
        self.space.vocabulary.begin(part.modality, part.role)  # refuse before decoding
        symbols = encode(self.space.codec(part.modality), [self._decode(part)])
        return self.space.read(part.modality, part.role, symbols)

    def embed(self, parts: Sequence[Part]) -> NDArray[np.float32]:
        """[D], of length 1: the mean of what the blocks say over all symbols of all parts."""
        _, mixed = self._read(parts)
        mean = mixed.mean(0)
        unit: NDArray[np.float32] = (mean / mean.norm().clamp(min=1e-12)).numpy()
        return unit

    def score(self, parts: Sequence[Part]) -> list[PartScore]:
        """Bits that each part needs after those before it, and that the memory alone needs."""
        readings, mixed = self._read(parts)
        found, start = [], 0
        for reading in readings:
            found.append(self._score(reading, mixed[start : start + len(reading.ids)]))
            start += len(reading.ids)
        return found

    @torch.inference_mode()
    def _read(self, parts: Sequence[Part]) -> tuple[list[Reading], torch.Tensor]:
        """The readings, and [T, D] what the blocks say after every symbol."""
        if not parts:
            raise InvalidInput("give at least one part", "parts")
        readings = [self.reading(part) for part in parts]
        if sum(len(reading.ids) for reading in readings) > CAPACITY:
            raise InvalidInput(f"the parts have more than {CAPACITY} symbols; send less", "parts")
        states = self.network.states(inputs(readings, 0))
        return readings, self.network.mix(states)[0]

    @torch.inference_mode()
    def _score(self, reading: Reading, mixed: torch.Tensor) -> PartScore:
        doors = self.space.alphabets_of(reading.modality, len(reading.ids) - 2)
        ids = torch.from_numpy(reading.ids.astype(np.int64))
        bits = prior = 0.0
        for door in np.unique(doors):
            at = torch.from_numpy(np.flatnonzero(doors == door))
            past, targets = self.readout.past(self.network, ids[None], at), ids[at + 1]
            logits = self.readout.logits(
                self.network, self.unembedding, int(door), mixed[at], past, 0.0
            )
            bits += float(self.readout.losses(logits, int(door), targets).sum())
            expected = self.readout.expected(int(door), past)
            prior += float(self.readout.losses(expected, int(door), targets).sum())
        return PartScore(len(doors), bits / math.log(2), prior / math.log(2))


def inputs(readings: Sequence[Reading], start: int) -> Inputs:
    """Parts laid end to end from this time on, as a batch of one."""
    columns = [
        np.concatenate([getattr(reading, name) for reading in readings]).astype(np.int64)
        for name in ("ids", "places", "buckets")
    ]
    symbols, places, buckets = (torch.from_numpy(column)[None] for column in columns)
    times = torch.arange(start, start + symbols.shape[1])[None]
    return Inputs(symbols, places, buckets, times)

"""What tests train on: rows of the small world, and streams of made-up media in a real store."""

import dataclasses

import numpy as np

from rankspace.media.sample import Modality, Part, Sample
from rankspace.store.store import Store
from rankspace.store.tokens import TokenPart, TokenSample
from rankspace.training.job import JobConfig
from tests.worlds import message, part, phrase, whole

Kind = tuple[Modality, str]
CONFIG = JobConfig(
    streams=("a",), size="tiny", steps=14, batch_symbols=256, context=64,
    evaluate_every=6, checkpoint_every=8, patience=0,
)  # fmt: skip


def row(seed: int, kinds: tuple[Kind, ...], length: int = 14, stream: str = "a") -> TokenSample:
    """A row with parts of these kinds, about so many symbols each."""
    random = np.random.default_rng(seed)
    parts = tuple(
        TokenPart(modality, role, message(modality, whole(modality, length), random))
        for modality, role in kinds
    )
    return TokenSample(stream, seed, "train", parts)


def fill(store: Store, stream: str, count: int = 8, media: bool = False) -> None:
    """A stream of phrases, or of pictures, sounds and clips with phrases to them."""
    store.log.create(stream)
    store.log.append(stream, None, [_sample(stream, seed, media) for seed in range(count)])


def _sample(stream: str, seed: int, media: bool) -> Sample:
    parts: list[Part] = [dataclasses.replace(part("text", seed), data=phrase(seed, 20), role="en")]
    if media:
        other: tuple[Modality, ...] = ("image", "audio", "video")
        parts.append(part(other[seed % 3], seed))
    labels = {"split": "valid"} if seed % 4 == 3 else {}
    return Sample(f"{stream}-{seed}", tuple(parts), labels=labels)

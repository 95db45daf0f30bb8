"""Baselines that count: interpolated Kneser-Ney and PPM-D, over symbols, bytes and characters.

Orders are chosen on the same held-out stories as rates are, and reported on the others. A story is
its bytes and its end, as for the networks; a symbol costs what its arm says, an end too.

A model over bytes sees two for a Cyrillic letter, so its order reaches half as far; over characters
it reaches as far as over a Latin text, and any character of Unicode stays possible.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from benchmarks._arms_ppm import Ppm
from benchmarks._arms_training import Progress, Result, spelt
from benchmarks._text_data import Corpus, Stories
from rankspace.ranks.counts import Counts
from rankspace.ranks.prior import Prior
from rankspace.ranks.vocabulary import PAD, Ids

UNICODE = 0x110000
"""One more than the last character; the end of a story."""


@dataclass(frozen=True, slots=True)
class Model:
    """A fitted baseline."""

    nats: Callable[[Stories], float]
    sample: Callable[[np.random.Generator, int], str]


def kneser_ney(corpus: Corpus, order: int) -> Model:
    """Over the codec's symbols; the opening mark is known and costs nothing."""
    size = corpus.vocabulary.size
    prior = Prior.fit(Counts.of(corpus.train.ids, order), size, order)

    def nats(stories: Stories) -> float:
        told = prior.log_probs(stories.ids).astype(np.float64)
        return float(told[stories.starts].sum() - told.sum())

    def sample(random: np.random.Generator, length: int) -> str:
        begin = corpus.vocabulary.begin("text", "")
        said = _drawn(prior, [PAD, begin], random, length, 2)
        return spelt(corpus, [each for each in said if each == 2 or each > begin])

    return Model(nats, sample)


def kneser_ney_bytes(corpus: Corpus, order: int) -> Model:
    """Over bytes: byte b is id b + 2, the end id 1."""
    prior = Prior.fit(Counts.of(_bytes(corpus.train), order), 258, order)

    def nats(stories: Stories) -> float:
        return float(-prior.log_probs(_bytes(stories)).sum(dtype=np.float64))

    def sample(random: np.random.Generator, length: int) -> str:
        said = _drawn(prior, [PAD], random, 6 * length, 1)
        return bytes(each - 2 for each in said if each > 1).decode("utf-8", "replace")

    return Model(nats, sample)


def ppm(corpus: Corpus, order: int) -> Model:
    """PPM-D over characters."""
    model = Ppm(UNICODE + 1, order)
    for text in corpus.train.texts:
        model.learn([*map(ord, text.decode()), UNICODE])

    def nats(stories: Stories) -> float:
        return sum(model.cost([*map(ord, text.decode()), UNICODE]) for text in stories.texts)

    def sample(random: np.random.Generator, length: int) -> str:
        return "".join(map(_character, model.sample(random, UNICODE, 4 * length)))

    return Model(nats, sample)


def ppm_bytes(corpus: Corpus, order: int) -> Model:
    """PPM-D over bytes."""
    model = Ppm(257, order)
    for text in corpus.train.texts:
        model.learn([*text, 256])

    def nats(stories: Stories) -> float:
        return sum(model.cost([*text, 256]) for text in stories.texts)

    def sample(random: np.random.Generator, length: int) -> str:
        return bytes(model.sample(random, 256, 6 * length)).decode("utf-8", "replace")

    return Model(nats, sample)


BASELINES: dict[str, tuple[Callable[[Corpus, int], Model], tuple[int, ...]]] = {
    "kn5": (kneser_ney, (5,)),
    "kn": (kneser_ney, (2, 3, 4)),
    "kn5_bytes": (kneser_ney_bytes, (5,)),
    "kn_bytes": (kneser_ney_bytes, (6, 7)),
    "ppm": (ppm, (4, 5, 6, 7)),
    "ppm_bytes": (ppm_bytes, (5, 6, 8, 10)),
}
"""How each is made, and the orders that its own is chosen from."""


def run(name: str, corpus: Corpus, seed: int, sampled: int, progress: Progress) -> Result:
    """The best order of a baseline, its bits per byte and its samples."""
    make, orders = BASELINES[name]
    told: list[tuple[float, int]] = []
    for done, order in enumerate(orders):
        told.append((_bits(make(corpus, order), corpus.tune), order))
        progress((done + 1) / (len(orders) + 1))
    tune, order = min(told)
    model = make(corpus, order)
    random = np.random.default_rng(seed)
    return {
        "order": order, "tune_bpb": tune, "test_bpb": _bits(model, corpus.test),
        "orders": {str(each): bits for bits, each in told},
        "samples": [model.sample(random, 160) for _ in range(sampled)],
    }  # fmt: skip


def _bits(model: Model, stories: Stories) -> float:
    return model.nats(stories) / math.log(2) / stories.bytes


def _bytes(stories: Stories) -> list[Ids]:
    return [
        np.append(np.frombuffer(text, np.uint8).astype(np.int32) + 2, np.int32(1))
        for text in stories.texts
    ]


def _drawn(
    prior: Prior, opening: Sequence[int], random: np.random.Generator, length: int, end: int
) -> list[int]:
    """Symbols drawn from a prior after an opening, up to the end."""
    said = list(opening)
    while len(said) < length + len(opening) and said[-1] != end:
        context = np.array(said[-(prior.order - 1) :], np.int32)
        odds = np.exp(prior.log_row(context).astype(np.float64))
        said.append(int(random.choice(len(odds), p=odds / odds.sum())))
    return [each for each in said[len(opening) :] if each != end]


def _character(code: int) -> str:
    return "\ufffd" if 0xD800 <= code < 0xE000 else chr(code)

"""The figures the demo is held to, each with its bound, from marks and the job's own metrics."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rankspace.analysis.report import Bits, Figure
from rankspace.media.sample import MODALITIES
from services.demo.judging import Answered

SECONDS_MAX, MEMORY_GB_MAX = 300.0, 4.0

ACCURACIES: Mapping[str, tuple[str, float | None, str]] = {
    "image_to_text": ("image_to_text_acc", 0.93, "held-out handwritten digits → their word"),
    "known_photo": (
        "known_photo_acc",
        0.90,
        "views of known photos, unseen crop, turn, noise and colours → their Russian caption",
    ),
    "text_to_image": (
        "text_to_image_acc",
        0.85,
        "drawn digits that a classifier taught by real ones reads as the word",
    ),
    "known_speech": (
        "known_speech_acc",
        0.85,
        "spoken captions and digits, unseen noise, gain and tempo → their text",
    ),
    "text_to_audio": (
        "text_to_audio_acc",
        0.85,
        "spoken digits nearer, by log-mel DTW, to real clips of the word than of the nine others",
    ),
    "photo_to_speech": (
        "photo_to_speech_acc",
        None,
        "spoken captions of photos nearest to the real clip of the caption, of 119",
    ),
    "clip_to_text": ("clip_to_text_acc", None, "clips → their Russian caption"),
}
"""By group of questions: the figure, its bound if it has one, how it is measured."""


@dataclass(frozen=True, slots=True)
class Cost:
    """What the run took."""

    seconds: Mapping[str, float]
    """By phase."""

    peak_memory_gb: float
    """Of the demo, the server and all they started."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """All that is measured."""

    answered: Mapping[str, Sequence[Answered]]
    """By group of questions."""

    metrics: Mapping[str, float]
    """What training measured."""

    trust: Mapping[str, float]
    """How far the judges can be believed."""

    cost: Cost


def figures(outcome: Outcome) -> tuple[Figure, ...]:
    """Those with a bound first."""
    rows = [
        Figure(
            name, accuracy(outcome.answered.get(group, ())), f"{_count(outcome, group)}{how}", least
        )
        for group, (name, least, how) in ACCURACIES.items()
    ]
    birth, prior = (_metric(outcome, name) for name in ("birth_loss", "prior_cross_entropy"))
    total = math.fsum(outcome.cost.seconds.values())
    rows += [
        Figure(
            "birth_gap_nats",
            abs(birth - prior),
            "birth_loss less prior_cross_entropy, without its sign",
            most=0.01,
        ),
        Figure("birth_loss", birth, "loss before the first step, nats per symbol"),
        Figure("prior_cross_entropy", prior, "what the memory alone pays for the same symbols"),
        Figure("seconds", total, "from the start of the server to the report", most=SECONDS_MAX),
        Figure(
            "peak_memory_gb",
            outcome.cost.peak_memory_gb,
            "the server, Ray, training and the demo itself together",
            most=MEMORY_GB_MAX,
        ),
    ]
    return tuple(sorted(rows, key=lambda row: not row.bound))


def accuracy(answered: Sequence[Answered]) -> float:
    """The share that is right; NaN of nothing."""
    marks = [one.right for one in answered if one.right is not None]
    return sum(marks) / len(marks) if marks else math.nan


def bits(outcome: Outcome) -> tuple[Bits, ...]:
    """Bits per symbol of every modality that was measured."""
    kinds = ("model", "bigram", "unigram")
    names = {
        modality: [f"bits_per_symbol/{modality}/{kind}" for kind in kinds]
        for modality in MODALITIES
    }
    return tuple(
        Bits(modality, *(_metric(outcome, name) for name in three))
        for modality, three in names.items()
        if three[0] in outcome.metrics
    )


def as_json(outcome: Outcome) -> dict[str, Any]:
    """The last line of the demo; what was not measured is null."""
    rows = figures(outcome)
    seconds = dict(outcome.cost.seconds)
    values: dict[str, Any] = {row.name: _number(row.value) for row in rows}
    return values | {
        "bits_per_symbol": {
            row.modality: {
                "model": _number(row.model),
                "unigram": _number(row.unigram),
                "bigram": _number(row.bigram),
            }
            for row in bits(outcome)
        },
        "seconds": {name: round(value, 1) for name, value in seconds.items()}
        | {"total": round(sum(seconds.values()), 1)},
        "judges": {name: _number(value) for name, value in outcome.trust.items()},
        "asked": {group: len(answered) for group, answered in outcome.answered.items()},
        "missed": [row.name for row in rows if not row.held],
    }


def _metric(outcome: Outcome, name: str) -> float:
    return outcome.metrics.get(name, math.nan)


def _count(outcome: Outcome, group: str) -> str:
    count = len(outcome.answered.get(group, ()))
    return f"{count} " if count else ""


def _number(value: float) -> float | None:
    return float(f"{value:.6g}") if math.isfinite(value) else None

"""The figures hold their bounds or say so, and the last line is JSON whatever was measured."""

import json
import math

import pytest

from rankspace.analysis.report import Figure
from rankspace.generation.request import Target
from rankspace.media.sample import Part
from services.demo.figures import ACCURACIES, Cost, Outcome, accuracy, as_json, bits, figures
from services.demo.judging import Answered
from services.demo.questions import Question

QUESTION = Question("image_to_text", Part("text", b"a"), Target(modality="text"), "a")


def answered(right: int, wrong: int, open_: int = 0) -> list[Answered]:
    marks: list[bool | None] = [True] * right + [False] * wrong + [None] * open_
    return [Answered(QUESTION, Part("text"), mark, "") for mark in marks]


def outcome(right: int = 95, seconds: float = 100.0) -> Outcome:
    metrics = {"birth_loss": 2.5, "prior_cross_entropy": 2.495}
    for at, kind in enumerate(("model", "bigram", "unigram")):
        metrics[f"bits_per_symbol/text/{kind}"] = 3.0 + at
    groups = {group: answered(right, 100 - right) for group in ACCURACIES}
    return Outcome(groups, metrics, {"judge": 0.98}, Cost({"train": seconds, "ask": 1.0}, 2.0))


def rows(of: Outcome) -> dict[str, Figure]:
    return {row.name: row for row in figures(of)}


def test_all_bounds_hold_on_a_good_run() -> None:
    assert all(row.held for row in figures(outcome()))
    assert as_json(outcome())["missed"] == []


@pytest.mark.parametrize(
    ("bad", "missed"),
    [
        (outcome(right=92), ["image_to_text_acc"]),
        (outcome(seconds=400), ["seconds"]),
        (outcome(right=0), [name for name, least, _ in ACCURACIES.values() if least]),
    ],
)
def test_what_is_missed_is_named(bad: Outcome, missed: list[str]) -> None:
    assert sorted(as_json(bad)["missed"]) == sorted(missed)


def test_what_was_not_measured_is_null_and_missed() -> None:
    empty = Outcome({}, {}, {}, Cost({}, math.nan))
    values = json.loads(json.dumps(as_json(empty), allow_nan=False))
    assert values["image_to_text_acc"] is None
    assert values["bits_per_symbol"] == {}
    assert {"birth_gap_nats", "peak_memory_gb", "known_photo_acc"} <= set(values["missed"])


def test_the_birth_gap_is_the_distance_of_its_two_sides() -> None:
    assert rows(outcome())["birth_gap_nats"].value == pytest.approx(0.005)


def test_bits_are_reported_for_the_modalities_that_were_measured() -> None:
    (row,) = bits(outcome())
    assert (row.modality, row.model, row.bigram, row.unigram) == ("text", 3.0, 4.0, 5.0)
    values = as_json(outcome())
    assert values["bits_per_symbol"] == {"text": {"model": 3.0, "bigram": 4.0, "unigram": 5.0}}


def test_the_seconds_add_up() -> None:
    assert as_json(outcome())["seconds"] == {"train": 100.0, "ask": 1.0, "total": 101.0}


def test_open_answers_do_not_count() -> None:
    assert accuracy(answered(1, 1, open_=8)) == 0.5
    assert math.isnan(accuracy(answered(0, 0, open_=3)))

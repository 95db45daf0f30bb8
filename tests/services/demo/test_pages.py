"""The report shows answers of every group, drawn by lot, with what the judges said."""

import math

from rankspace.codecs.text import TextCodec
from rankspace.generation.request import Target
from rankspace.media.sample import Part
from rankspace.ranks.counts import Counts
from rankspace.ranks.space import ORDER, Space
from services.demo.figures import Cost, Outcome
from services.demo.history import Chronicle
from services.demo.judging import Answered
from services.demo.pages import TITLES, page
from services.demo.questions import Question

TEXTS = [f"лягушка номер {at}".encode() for at in range(50)]


def space() -> Space:
    codec = TextCodec.fit(TEXTS)
    bare = Space.learn({"text": codec}, [("text", "ru")])
    ids = [bare.ids("text", "ru", codec.encoder().push(text)) for text in TEXTS]
    return Space.learn({"text": codec}, [("text", "ru")], Counts.of(ids, ORDER))


def answered(group: str, at: int, right: bool | None) -> Answered:
    asked = Question(group, Part("text", f"ask{at:03}".encode()), Target(modality="text"), "да")
    return Answered(asked, Part("text", f"answer{at:03}".encode()), right, "нет")


def test_answers_are_drawn_by_lot_and_wrong_ones_say_what_would_be_right() -> None:
    group = "image_to_text"
    marked = [answered(group, at, at % 4 == 0) for at in range(100)]
    open_ = [answered("continuation", 999, None)]
    outcome = Outcome(
        {group: marked, "continuation": open_},
        {},
        {"digit_judge_held_out_acc": 0.98},
        Cost({"train": 12.0}, math.nan),
    )
    html = page(outcome, Chronicle(), space(), {"model": "demo@1"})
    count = TITLES[group][2]
    assert html.count("answer0") == count
    assert "25.0% of 100 right" in html
    assert "right would be: да" in html
    assert "really: да" in html
    assert "98.0% right" in html
    assert "demo@1" in html
    assert "12.0 s" in html

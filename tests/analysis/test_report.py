"""The report is one file: whole without a network, safe with any text, honest about its bounds."""

import math
import re
from html.parser import HTMLParser

import numpy as np
import pytest

from rankspace.analysis.plots import Curve
from rankspace.analysis.report import Bits, Exchange, Figure, History, Pair, Report, Shown, render
from rankspace.media import encode
from rankspace.ranks.spectra import spectrum

PIXELS = np.zeros((8, 8, 3), np.uint8)
PICTURE = Shown("image", encode.png(PIXELS), "png")
SOUND = Shown("audio", encode.wav(np.zeros(800, np.float32)), "wav")
CLIP = Shown("video", encode.webm([PIXELS] * 2, 2.0), "webm")
MOVING = Shown("video", encode.gif([PIXELS] * 2, 2.0), "gif")
WORD = Shown("text", "Лягушка <script>alert(1)</script>".encode())


class Links(HTMLParser):
    """Collects what a page would fetch, and the tags that were opened."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.links: list[str] = []
        self.tags: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.links += [
            value or "" for name, value in attrs if name in ("src", "href", "poster", "action")
        ]


def page(*figures: Figure) -> str:
    exchanges = (
        Exchange(PICTURE, WORD, right=True),
        Exchange(WORD, SOUND, right=False, note="heard as “два”"),
        Exchange(CLIP, WORD),
        Exchange(MOVING, WORD),
    )
    counts = np.bincount(np.random.default_rng(0).zipf(1.5, 5000).clip(max=99))
    report = Report(
        title="demo",
        lead="A run.",
        figures=figures,
        pairs=(Pair("photo → caption", "a few", exchanges),),
        bits=(Bits("text", 1.5, 2.5, 3.5),),
        history=History(losses=(Curve("photos", ((0.0, 5.0), (10.0, 3.0))),)),
        spectra=(spectrum("text", counts), spectrum("image", np.array([3, 0]))),
        facts={"peak memory": "1 GB"},
    )
    return render(report)


def test_the_page_asks_nothing_of_a_network() -> None:
    found = Links(page())
    assert found.links
    assert all(link.startswith("data:") for link in found.links)
    assert not re.search(r"@import|url\(", page())


def test_text_is_shown_and_never_run() -> None:
    assert "script" not in Links(page()).tags
    assert "Лягушка &lt;script&gt;" in page()


def test_every_modality_is_shown_in_its_own_way() -> None:
    tags = Links(page()).tags
    assert tags.count("img") == 2
    assert tags.count("audio") == tags.count("video") == 1
    assert tags.count("svg") == 2


@pytest.mark.parametrize(
    ("value", "least", "most", "held"),
    [
        (0.9, 0.9, None, True),
        (0.8, 0.9, None, False),
        (0.8, None, 0.9, True),
        (1.0, None, 0.9, False),
        (math.nan, 0.9, None, False),
        (math.nan, None, None, True),
    ],
)
def test_a_figure_holds_or_is_marked_as_missed(
    value: float, least: float | None, most: float | None, held: bool
) -> None:
    figure = Figure("acc", value, "how", least, most)
    assert figure.held is held
    assert (">missed<" in page(figure)) is not held


def test_an_empty_report_is_a_page_too() -> None:
    assert "<h1>t</h1>" in render(Report("t", "l", ()))

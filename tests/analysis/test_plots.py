"""Whatever is measured, the chart stays inside its frame and says only what it was given."""

import math
import re
from xml.etree import ElementTree as ET

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rankspace.analysis import plots
from rankspace.analysis.plots import Axis, Curve, lines

values = st.floats(-1e6, 1e6) | st.sampled_from([math.nan, math.inf, 0.0])
curves = st.builds(
    Curve,
    st.text("абв <&\"'", max_size=8),
    st.lists(st.tuples(values, values), max_size=300).map(tuple),
    st.booleans(),
)
axes = st.builds(Axis, st.sampled_from(["step", "<nats>"]), st.booleans())


def parsed(chart: str) -> ET.Element:
    return ET.fromstring(f"<div>{chart}</div>")  # noqa: S314


@given(st.lists(curves, max_size=4), axes, axes)
def test_every_point_is_inside_the_frame(given_curves: list[Curve], x: Axis, y: Axis) -> None:
    chart = parsed(lines(given_curves, x, y))
    for path in chart.iter("path"):
        numbers = [float(n) for n in re.findall(r"-?\d+\.\d+", path.attrib["d"])]
        for px, py in zip(numbers[::2], numbers[1::2], strict=True):
            assert plots.LEFT - 0.1 <= px <= plots.WIDTH - plots.RIGHT + 0.1
            assert plots.TOP - 0.1 <= py <= plots.HEIGHT - plots.BOTTOM + 0.1


@given(st.lists(curves, min_size=1, max_size=4))
def test_the_legend_names_the_curves_as_they_are_called(given_curves: list[Curve]) -> None:
    shown = [Curve("seen", ((1.0, 2.0),)), *given_curves]
    chart = parsed(lines(shown, Axis("x"), Axis("y")))
    assert ["".join(item.itertext()) for item in chart.iter("li")] == [one.name for one in shown]


def test_long_curves_are_thinned_and_keep_their_ends() -> None:
    curve = Curve("long", tuple((float(at), float(at)) for at in range(10_000)))
    (path,) = parsed(lines([curve], Axis("x"), Axis("y"))).iter("path")
    places = re.findall(r"[ML]([\d.]+) ([\d.]+)", path.attrib["d"])
    assert len(places) == plots.POINTS_MAX
    assert places[0] == (str(plots.LEFT), str(plots.HEIGHT - plots.BOTTOM))
    assert places[-1] == (str(plots.WIDTH - plots.RIGHT), str(plots.TOP))


def test_a_dashed_curve_has_the_colour_of_the_solid_one_before_it() -> None:
    points = ((1.0, 1.0), (2.0, 3.0))
    shown = [Curve("a", points), Curve("a, law", points, dashed=True), Curve("b", points)]
    classes = [
        path.attrib["class"] for path in parsed(lines(shown, Axis("x"), Axis("y"))).iter("path")
    ]
    assert classes == ["line c0", "line c0 dashed", "line c1"]


@pytest.mark.parametrize("points", [(), ((math.nan, 1.0),)])
def test_nothing_measured_is_said_in_words(points: tuple[tuple[float, float], ...]) -> None:
    assert "Nothing was measured" in lines([Curve("a", points)], Axis("x"), Axis("y"))

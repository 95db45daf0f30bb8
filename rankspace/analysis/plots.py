"""Line charts as inline SVG, drawn by hand: no script, no font, no file of its own.

Colours are classes that the page's style sheet names: a chart follows light and dark. Points
that a screen could not tell apart are thinned out before they are drawn.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise

from markupsafe import Markup, escape

WIDTH, HEIGHT = 500.0, 270.0
LEFT, RIGHT, TOP, BOTTOM = 56.0, 10.0, 10.0, 38.0
POINTS_MAX = 240
TICKS = 5

Scale = Callable[[float], float]


@dataclass(frozen=True, slots=True)
class Curve:
    """One named line; a dashed one has the colour of the solid one before it."""

    name: str
    points: tuple[tuple[float, float], ...]
    dashed: bool = False


@dataclass(frozen=True, slots=True)
class Axis:
    """What is measured, and whether by powers of ten."""

    label: str
    log: bool = False


def lines(curves: Sequence[Curve], x: Axis, y: Axis) -> Markup:
    """A chart of the curves and, under it, their legend."""
    drawn = [(curve, _visible(curve, x, y)) for curve in curves]
    xs, ys = (sorted(point[at] for _, points in drawn for point in points) for at in (0, 1))
    if not xs:
        return Markup('<p class="muted">Nothing was measured.</p>')
    across = _scale(x, (xs[0], xs[-1]), (LEFT, WIDTH - RIGHT))
    up = _scale(y, (ys[0], ys[-1]), (HEIGHT - BOTTOM, TOP))
    grid = _grid(x, (xs[0], xs[-1]), across, True) + _grid(y, (ys[0], ys[-1]), up, False)
    colours = _colours(curves)
    paths = [
        f'<path class="{_line(curve, colour)}" d="{_path(points, across, up)}"/>'
        for (curve, points), colour in zip(drawn, colours, strict=True)
        if points
    ]
    labels = (
        f'<text class="label" x="{WIDTH - RIGHT}" y="{HEIGHT - 4}" text-anchor="end">'
        f"{escape(x.label)}</text>"
        f'<text class="label" transform="translate(11 {TOP}) rotate(-90)" text-anchor="end">'
        f"{escape(y.label)}</text>"
    )
    svg = (
        f'<svg viewBox="0 0 {WIDTH:g} {HEIGHT:g}" role="img" aria-label="{escape(y.label)}">'
        f"{grid}{''.join(paths)}{labels}</svg>"
    )
    # All that is not a number or markup of ours was escaped above.
    return Markup(svg + _legend(curves, colours))  # noqa: S704


def _line(curve: Curve, colour: int) -> str:
    return f"line c{colour}{' dashed' if curve.dashed else ''}"


def _colours(curves: Sequence[Curve]) -> list[int]:
    colours: list[int] = []
    for curve in curves:
        last = colours[-1] if colours else -1
        colours.append(last if curve.dashed and colours else last + 1)
    return [colour % 8 for colour in colours]


def _legend(curves: Sequence[Curve], colours: Sequence[int]) -> str:
    items = [
        f'<li><i class="{_line(curve, colour)}"></i>{escape(curve.name)}</li>'
        for curve, colour in zip(curves, colours, strict=True)
    ]
    return f'<ul class="legend">{"".join(items)}</ul>'


def _visible(curve: Curve, x: Axis, y: Axis) -> list[tuple[float, float]]:
    """The points that can be drawn on these axes, at most POINTS_MAX of them, ends kept."""
    good = [
        point
        for point in curve.points
        if all(map(math.isfinite, point))
        and (point[0] > 0 or not x.log)
        and (point[1] > 0 or not y.log)
    ]
    if len(good) <= POINTS_MAX:
        return good
    step = (len(good) - 1) / (POINTS_MAX - 1)
    return [good[round(at * step)] for at in range(POINTS_MAX)]


def _scale(axis: Axis, span: tuple[float, float], pixels: tuple[float, float]) -> Scale:
    low, high = map(math.log10, span) if axis.log else span
    width = high - low or 1.0

    def place(value: float) -> float:
        share = ((math.log10(value) if axis.log else value) - low) / width
        return pixels[0] + share * (pixels[1] - pixels[0])

    return place


def _ticks(axis: Axis, low: float, high: float) -> list[float]:
    """Powers of ten, or multiples of 1, 2 or 5 times one."""
    if axis.log:
        powers = range(math.ceil(math.log10(low) - 1e-9), math.floor(math.log10(high) + 1e-9) + 1)
        return [10.0**power for power in powers][:: max(1, len(powers) // (TICKS + 2))]
    rough = (high - low) / TICKS or 1.0
    unit = 10.0 ** math.floor(math.log10(rough))
    step = next(unit * times for times in (1, 2, 5, 10) if unit * times >= rough * 0.999)
    return [step * at for at in range(math.ceil(low / step), math.floor(high / step) + 1)]


def _grid(axis: Axis, span: tuple[float, float], scale: Scale, across: bool) -> str:
    marks = []
    for tick in _ticks(axis, *span):
        at, text = f"{scale(tick):.1f}", f"{tick:.4g}"
        if across:
            line = f'x1="{at}" x2="{at}" y1="{TOP}" y2="{HEIGHT - BOTTOM}"'
            place = f'x="{at}" y="{HEIGHT - BOTTOM + 16}" text-anchor="middle"'
        else:
            line = f'x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{at}" y2="{at}"'
            place = f'x="{LEFT - 6}" y="{float(at) + 4:.1f}" text-anchor="end"'
        marks.append(f'<line class="grid" {line}/><text {place}>{text}</text>')
    return "".join(marks)


def _path(points: Sequence[tuple[float, float]], across: Scale, up: Scale) -> str:
    placed = [f"{across(x):.1f} {up(y):.1f}" for x, y in points]
    if len(placed) == 1:  # a lone point would have no length and not be seen
        placed *= 2
    return f"M{placed[0]}" + "".join(f"L{there}" for here, there in pairwise(placed))

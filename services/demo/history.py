"""What a training job reports, kept for the report: curves by step, metrics, the latest state."""

from collections import defaultdict
from collections.abc import Mapping

from rankspace.analysis.plots import Curve
from rankspace.analysis.report import History
from rankspace.config import parse
from rankspace.store.entries import JobEvent
from rankspace.training.job import Event

CURVES_MAX = 8
"""More lines in one chart cannot be told apart."""

Points = defaultdict[str, list[tuple[float, float]]]


class Chronicle:
    """All events of one job so far."""

    def __init__(self) -> None:
        self.metrics: dict[str, float] = {}
        self._losses: Points = defaultdict(list)
        self._weights: Points = defaultdict(list)
        self._betas: Points = defaultdict(list)

    def add(self, event: JobEvent) -> Event:
        """Keep an event; returns it as a config, which names its fields."""
        body = parse(Event, dict(event.body))
        self.metrics |= body.metrics
        if body.phase == "training":
            _extend(self._losses, body.step, body.source_losses)
            _extend(self._weights, body.step, body.source_weights)
            _extend(self._betas, body.step, body.betas)
        return body

    def curves(self) -> History:
        """Everything by step."""
        return History(_curves(self._losses), _curves(self._weights), _curves(self._betas))


def _extend(points: Points, step: int, values: Mapping[str, float]) -> None:
    for name, value in values.items():
        points[name].append((float(step), value))


def _curves(points: Points) -> tuple[Curve, ...]:
    """The first so many, in the order they were first heard of."""
    few = list(points.items())[:CURVES_MAX]
    return tuple(Curve(name, tuple(line)) for name, line in few)

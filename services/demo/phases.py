"""Progress bars on stderr, one a phase and one a phase of the job; how long each phase took."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

from rankspace.training.job import Event

TOGETHER = {"training", "evaluating"}
"""Phases of a job that take turns."""

UNSEEN = {"queued", "done"}
"""Phases of a job in which nothing is done."""


class Bar:
    """The bar of the phase that runs."""

    def __init__(self, progress: Progress, task: TaskID) -> None:
        self._progress = progress
        self._task = task

    def move(self, share: float, detail: str = "") -> None:
        """Say how much of the phase is done, from 0 to 1."""
        self._progress.update(self._task, completed=share, detail=detail)

    def step(self, share: float) -> None:
        """Say how much more is done."""
        self._progress.advance(self._task, share)

    def fill(self) -> None:
        """Say that all is done."""
        self._progress.update(self._task, completed=1.0)
        self._progress.stop_task(self._task)


class Phases:
    """All phases of a run, drawn for the length of a block."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self._progress = Progress(
            TextColumn("{task.description:<12}"),
            BarColumn(32),
            TextColumn("{task.percentage:>4.0f} %"),
            TimeElapsedColumn(),
            TextColumn("[dim]{task.fields[detail]}"),
            console=Console(stderr=True, highlight=False),
        )

    def __enter__(self) -> "Phases":
        self._progress.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._progress.stop()

    def bar(self, name: str) -> Bar:
        """One more bar, for what is done within a phase."""
        return Bar(self._progress, self._progress.add_task(name, total=1.0, detail=""))

    @contextmanager
    def phase(self, name: str, detail: str = "") -> Iterator[Bar]:
        """A phase for the length of a block; its bar is full when the block ends well."""
        task = self._progress.add_task(name, total=1.0, detail=detail)
        bar = Bar(self._progress, task)
        began = time.perf_counter()
        try:
            yield bar
            self._progress.update(task, completed=1.0)
        finally:
            self.seconds[name] = time.perf_counter() - began
            self._progress.stop_task(task)


class JobBars:
    """The bar of a whole job, and one for every phase of it, drawn when it is first heard of."""

    def __init__(self, phases: Phases, whole: Bar) -> None:
        self._phases = phases
        self._whole = whole
        self._bars: dict[str, Bar] = {}

    def show(self, event: Event, detail: str) -> None:
        """Move the bars of the job and of the event's phase; what comes before it is done."""
        self._whole.move(event.step / event.steps if event.steps else 0.0)
        for name, bar in self._bars.items():
            if name != event.phase and not {name, event.phase} <= TOGETHER:
                bar.fill()
        if event.phase in UNSEEN:
            return
        if event.phase not in self._bars:
            self._bars[event.phase] = self._phases.bar(f"  {event.phase}")
        self._bars[event.phase].move(event.progress, detail)

"""Progress bars, one a phase, on stderr; and how long each phase took."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn


class Bar:
    """The bar of the phase that runs."""

    def __init__(self, progress: Progress, task: TaskID) -> None:
        self._progress = progress
        self._task = task
        self.share = 0.0

    def move(self, share: float, detail: str = "") -> None:
        """Say how much of the phase is done, from 0 to 1."""
        self.share = share
        self._progress.update(self._task, completed=share, detail=detail)

    def step(self, share: float) -> None:
        """Say how much more is done."""
        self._progress.advance(self._task, share)


class Phases:
    """All phases of a run, drawn for the length of a block."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self._progress = Progress(
            TextColumn("{task.description:<10}"),
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

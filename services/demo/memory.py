"""How much memory a process and everything it started takes, at its peak.

Pages that several processes share are counted once (proportional set size of Linux); elsewhere
nothing is measured and the peak is NaN.
"""

import math
import threading
from collections import defaultdict
from pathlib import Path
from types import TracebackType

PROC = Path("/proc")
EVERY_S = 1.0


def tree(root: int) -> list[int]:
    """The process and all its descendants."""
    children: defaultdict[int, list[int]] = defaultdict(list)
    for folder in PROC.glob("[0-9]*"):
        try:
            # The name in brackets may hold anything, brackets too.
            parent = folder.joinpath("stat").read_text().rpartition(")")[2].split()[1]
        except (OSError, IndexError):
            continue  # it ended while we looked
        children[int(parent)].append(int(folder.name))
    found = [root]
    for process in found:
        found.extend(children[process])
    return found


def taken(process: int) -> int:
    """Bytes of one process, 0 if it has ended."""
    try:
        text = (PROC / str(process) / "smaps_rollup").read_text()
    except OSError:
        return 0
    lines = [line for line in text.splitlines() if line.startswith("Pss:")]
    return int(lines[0].split()[1]) * 1024 if lines else 0


class PeakMemory:
    """Looks every second, in a thread of its own, for the length of a block."""

    def __init__(self, root: int) -> None:
        self.bytes = 0 if PROC.is_dir() else math.nan
        self._root = root
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="peak-memory", daemon=True)

    @property
    def gigabytes(self) -> float:
        return self.bytes / 1e9

    def __enter__(self) -> "PeakMemory":
        if PROC.is_dir():
            self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._ended.set()
        if self._thread.is_alive():
            self._thread.join()

    def _watch(self) -> None:
        while True:
            self.bytes = max(self.bytes, sum(map(taken, tree(self._root))))
            if self._ended.wait(EVERY_S):
                return

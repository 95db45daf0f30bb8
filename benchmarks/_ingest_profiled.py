"""`rankspace` with every thread under a profiler of its own; at the end all go into one file.

    python -m benchmarks._ingest_profiled FILE serve ...

A thread that waits is charged for it as well: look at what computes, and at the waits apart.
"""

import cProfile
import pstats
import sys
import threading
from typing import Any

from services.cli import main

_profiles: list[cProfile.Profile] = []


def _watched(run: Any) -> Any:
    def watched(thread: threading.Thread) -> None:
        profile = cProfile.Profile()
        _profiles.append(profile)
        profile.runcall(run, thread)

    return watched


def profiled(file: str) -> None:
    """Run the command line to its end and write the sum of all profiles."""
    threading.Thread.run = _watched(threading.Thread.run)  # type: ignore[method-assign]
    first = cProfile.Profile()
    try:
        first.runcall(main)
    finally:
        total = pstats.Stats(first)
        for profile in _profiles:
            profile.disable()
            total.add(profile)
        total.dump_stats(file)


if __name__ == "__main__":
    target = sys.argv.pop(1)
    profiled(target)

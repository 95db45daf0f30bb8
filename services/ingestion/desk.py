"""Work on the event loop itself, a little at a time.

Reading messages and checking their form is nothing but Python. A thread makes it no faster, for one
thread computes at a time, and it keeps the loop waiting for its turn, again and again. Here it is
done in the loop, and after every `SLICE_S` of it, whoever it was for, the loop does what else there
is. First come, first served.
"""

import asyncio
import time
from collections.abc import Callable, Iterable
from typing import TypeVar

SLICE_S = 0.002

Item = TypeVar("Item")
Found = TypeVar("Found")


class Desk:
    """What all calls of a server share."""

    def __init__(self) -> None:
        self._turn = asyncio.Lock()
        self._spent_s = 0.0
        """Since the loop last did something else."""

    async def each(self, work: Callable[[Item], Found], items: Iterable[Item]) -> list[Found]:
        """Do the work on each item; what came of it."""
        found: list[Found] = []
        async with self._turn:
            began = time.perf_counter() - self._spent_s
            for item in items:
                found.append(work(item))
                if time.perf_counter() - began > SLICE_S:
                    self._spent_s = 0.0
                    await asyncio.sleep(0)
                    began = time.perf_counter()
            self._spent_s = time.perf_counter() - began
        return found

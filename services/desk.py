"""Work on the event loop itself, a little at a time.

Reading messages, checking their form and hashing small media is nothing but work. Threads make it
no faster, for one of them computes at a time, and they keep the loop waiting for its turn, again
and again. Here it is done in the loop, and after every `SLICE_S` of it, whoever it was for, the
loop does what else there is. First come, first served.
"""

import asyncio
import time
from collections.abc import Iterable

SLICE_S = 0.002


class Desk:
    """What all calls of a server share."""

    def __init__(self) -> None:
        self._turn = asyncio.Lock()
        self._spent_s = 0.0
        """Since the loop last did something else."""

    async def through(self, steps: Iterable[object]) -> None:
        """Take every step: the iterator works each time it is asked for the next one."""
        clock = time.perf_counter
        async with self._turn:
            began = clock() - self._spent_s
            for _ in steps:
                if clock() - began > SLICE_S:
                    self._spent_s = 0.0
                    await asyncio.sleep(0)
                    began = clock()
            self._spent_s = clock() - began

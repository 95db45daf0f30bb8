"""How late the event loop comes: it asks to be woken every few milliseconds, and looks at a clock.

Whatever blocks the loop, or keeps the process from its core, makes it late for every call alike. To
tell the two apart, it also looks at how long the loop's own thread has computed meanwhile.
"""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from services.meanwhile import meanwhile
from services.telemetry.metrics import LOOP_BUSY, LOOP_MAX, LOOP_SECONDS

TICK_S = 0.005


@asynccontextmanager
async def watched() -> AsyncIterator[None]:
    """Watch the loop for the length of the block."""
    async with meanwhile(_watch()):
        yield


async def _watch() -> None:
    latest = 0.0
    while True:
        began, computed = time.monotonic(), time.thread_time()
        await asyncio.sleep(TICK_S)
        late = max(0.0, time.monotonic() - began - TICK_S)
        LOOP_SECONDS.see(late)
        LOOP_BUSY.see(min(late, time.thread_time() - computed))
        latest = max(latest, late)
        LOOP_MAX.set(latest)

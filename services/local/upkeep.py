"""Upkeep: what streams keep no longer goes, again and again, in small steps in a thread.

Samples beyond their stream's retention become tombstones; deleted streams, abandoned growing media,
old refused samples and blobs of appends that never committed are removed.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import structlog

from rankspace.errors import RankspaceError
from rankspace.store.store import Store

log = structlog.get_logger()


class Upkeep:
    """The task that keeps one store tidy."""

    def __init__(
        self,
        store: Store,
        run: Callable[[Callable[[], Any]], Awaitable[Any]],
        every_s: float,
    ) -> None:
        self._steps: dict[str, Callable[[], int]] = {
            "samples expired": store.log.expire,
            "growing media removed": store.pieces.collect,
            "refused samples removed": store.rejects.collect,
            "blobs removed": store.log.sweep,
        }
        self._run = run
        self._every_s = every_s
        self._task: asyncio.Task[None] | None = None

    def begin(self) -> None:
        """Start; the first round is due after one period."""
        self._task = asyncio.create_task(self._rounds())

    async def close(self) -> None:
        """Stop after the step that is under way."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait((self._task,))

    async def _rounds(self) -> None:
        while True:
            await asyncio.sleep(self._every_s)
            for what, step in self._steps.items():
                try:
                    done = await self._run(step)
                except RankspaceError as error:  # such as a busy store: the next round will do it
                    log.warning("upkeep", what=what, problem=str(error))
                else:
                    if done:
                        log.info("upkeep", what=what, number=done)

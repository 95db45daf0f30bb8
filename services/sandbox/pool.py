"""A few processes that decode: lent out one by one, started when needed, replaced when they die.

Safe from any number of threads; a thread waits until it is its turn.
"""

import os
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from threading import Condition

from rankspace.errors import Overloaded
from rankspace.media.limits import Limits
from services.sandbox.config import SandboxConfig
from services.sandbox.process import Worker

_WORKERS_DEFAULT = 2


class Pool:
    """The processes. `close` it."""

    def __init__(self, config: SandboxConfig, limits: Limits) -> None:
        self.size = config.workers or min(_WORKERS_DEFAULT, os.cpu_count() or 1)
        """Processes at most."""

        self._config = config
        self._limits = limits
        # Processes die with the thread that started them: one thread that stays starts them all.
        self._starter = ThreadPoolExecutor(1, "sandbox-starter")
        self._change = Condition()
        self._idle: list[Worker] = []
        self._busy = 0
        self._closed = False

    def close(self) -> None:
        """End the processes at rest now, and those at work when they have answered."""
        with self._change:
            self._closed = True
            idle, self._idle = self._idle, []
            self._change.notify_all()
        for worker in idle:
            worker.end()
        self._starter.shutdown()

    @contextmanager
    def lease(self, until: float, *, fresh: bool = False) -> Iterator[Worker]:
        """A process to ask, waited for until that time on the monotonic clock.

        It goes back to rest unless something was raised: then it is ended. A `fresh` one has not
        seen any media yet. Raises Overloaded.
        """
        worker = self._taken(until, fresh)
        healthy = False
        try:
            yield worker
            healthy = True
        finally:
            self._back(worker, healthy)

    def _taken(self, until: float, fresh: bool) -> Worker:
        with self._change:
            while self._busy >= self.size and not self._closed:
                if not self._change.wait(until - time.monotonic()):
                    raise Overloaded("media wait to be looked at for too long; come again", "", 1.0)
            if self._closed:
                raise Overloaded("the server stops; come again", "", 1.0)
            self._busy += 1
            worker = self._idle.pop() if self._idle else None
            if worker is not None and worker.fresh >= fresh:
                return worker
            starting = self._starter.submit(Worker, self._config, self._limits)
        if worker is not None:
            worker.end()
        try:
            return starting.result()
        except BaseException:
            with self._change:
                self._busy -= 1
                self._change.notify()
            raise

    def _back(self, worker: Worker, healthy: bool) -> None:
        with self._change:
            self._busy -= 1
            kept = healthy and not self._closed
            if kept:
                self._idle.append(worker)
            self._change.notify()
        if not kept:
            worker.end()

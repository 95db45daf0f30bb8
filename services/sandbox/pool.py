"""A few processes that decode: lent out one by one, started when needed, replaced when they die.

Safe from any number of threads; a thread waits until it is its turn.
"""

import os
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from threading import Condition

from rankspace.errors import Overloaded
from rankspace.media.limits import Limits
from services.sandbox.config import SandboxConfig
from services.sandbox.process import Worker
from services.telemetry.metrics import SANDBOX_STARTS

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
        self._busy: set[Worker] = set()
        self._starting = 0
        self._closed = False

    def close(self) -> None:
        """End all processes now; who waits for an answer is told that the server stops."""
        with self._change:
            self._closed = True
            idle, self._idle = self._idle, []
            for worker in self._busy:
                worker.kill()
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
            while len(self._busy) + self._starting >= self.size and not self._closed:
                if not self._change.wait(until - time.monotonic()):
                    raise Overloaded("media wait to be looked at for too long; come again", "", 1.0)
            if self._closed:
                raise _stopping()
            worker = self._idle.pop() if self._idle else None
            if worker is not None and worker.fresh >= fresh:
                self._busy.add(worker)
                return worker
            self._starting += 1
            starting = self._starter.submit(Worker, self._config, self._limits)
        if worker is not None:
            worker.end()
        return self._started(starting)

    def _started(self, starting: "Future[Worker]") -> Worker:
        worker = None
        SANDBOX_STARTS.add()
        try:
            worker = starting.result()
        finally:
            with self._change:
                self._starting -= 1
                closed = self._closed
                if worker is not None and not closed:
                    self._busy.add(worker)
                self._change.notify()
        if closed:
            worker.end()
            raise _stopping()
        return worker

    def _back(self, worker: Worker, healthy: bool) -> None:
        with self._change:
            self._busy.discard(worker)
            kept = healthy and not self._closed
            if kept:
                self._idle.append(worker)
            self._change.notify()
        if not kept:
            worker.end()


def _stopping() -> Overloaded:
    return Overloaded("the server stops; come again", "", 1.0)

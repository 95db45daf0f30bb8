"""A few processes that decode: lent out one by one, started when needed, replaced when they die.

Who waits is served in turn: each tenant's first, then each tenant's second, and so on. However much
one of them has waiting, another waits for no more than what is in a process already. Safe from any
thread; nobody needs one to wait in.
"""

import os
from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from threading import Lock

from rankspace.errors import Overloaded
from rankspace.media.limits import Limits
from services.sandbox.config import SandboxConfig
from services.sandbox.process import Worker
from services.telemetry.metrics import SANDBOX_STARTS

_WORKERS_DEFAULT = 2

Loan = Future[Worker]
"""A process, as soon as it is somebody's turn."""


class Pool:
    """The processes. `close` it."""

    def __init__(self, config: SandboxConfig, limits: Limits) -> None:
        self.size = config.workers or min(_WORKERS_DEFAULT, os.cpu_count() or 1)
        """Processes at most."""

        self._config = config
        self._limits = limits
        # Processes die with the thread that started them: one thread that stays starts them all.
        self._starter = ThreadPoolExecutor(1, "sandbox-starter")
        self._lock = Lock()
        self._waiting: dict[str, deque[tuple[Loan, bool]]] = {}  # by tenant, whose turn it is first
        self._idle: list[Worker] = []
        self._busy: set[Worker] = set()
        self._starting = 0
        self._closed = False

    def close(self) -> None:
        """End all processes now; who waits is told that the server stops."""
        with self._lock:
            self._closed = True
            idle, self._idle = self._idle, []
            for worker in self._busy:
                worker.kill()
            refused = [loan for line in self._waiting.values() for loan, _ in line]
            self._waiting.clear()
        for loan in refused:
            if loan.set_running_or_notify_cancel():
                loan.set_exception(_stopping())
        for worker in idle:
            worker.end()
        self._starter.shutdown()

    def at_rest(self) -> tuple[int, ...]:
        """The numbers of the processes that nobody asks just now."""
        with self._lock:
            return tuple(worker.pid for worker in self._idle)

    def at_once(self, fresh: bool = False) -> Worker | None:
        """A process, if one is at rest and nobody waits. Give it back."""
        with self._lock:
            if self._waiting or not self._idle or self._idle[-1].fresh < fresh:
                return None
            worker = self._idle.pop()
            self._busy.add(worker)
            return worker

    def borrow(self, tenant: str, *, fresh: bool = False) -> Loan:
        """Ask for a process; a `fresh` one has not seen any media yet. Give it back."""
        loan = Loan()
        with self._lock:
            if self._closed:
                loan.set_exception(_stopping())
                return loan
            self._waiting.setdefault(tenant, deque()).append((loan, fresh))
        self._serve()
        return loan

    def leave(self, loan: Loan) -> None:
        """Want it no longer; what comes of it nevertheless goes back."""
        if not loan.cancel():
            loan.add_done_callback(self._unwanted)

    def give_back(self, worker: Worker) -> None:
        """It is asked no more; one that has died is replaced when somebody asks."""
        with self._lock:
            self._busy.discard(worker)
            kept = not worker.dead and not self._closed
            if kept:
                self._idle.append(worker)
        if not kept:
            worker.end()
        self._serve()

    def _unwanted(self, loan: Loan) -> None:
        with suppress(Overloaded):
            self.give_back(loan.result())

    def _serve(self) -> None:
        """Lend what there is to whose turn it is."""
        while True:
            with self._lock:
                if self._closed or len(self._busy) + self._starting >= self.size:
                    return
                found = self._next()
                if found is None:
                    return
                loan, fresh = found
                worker = self._idle.pop() if self._idle else None
                if worker is not None and worker.fresh >= fresh:
                    self._busy.add(worker)
                else:
                    self._starting += 1
                    self._starter.submit(self._start, loan, worker)
                    continue
            loan.set_result(worker)

    def _next(self) -> tuple[Loan, bool] | None:
        """The first who waits of the tenant whose turn it is; then it is the next one's."""
        while self._waiting:
            tenant = next(iter(self._waiting))
            line = self._waiting.pop(tenant)
            found = line.popleft()
            if line:
                self._waiting[tenant] = line
            if found[0].set_running_or_notify_cancel():
                return found
        return None

    def _start(self, loan: Loan, old: Worker | None) -> None:
        """Start a process in place of one that is not fresh any more, if there is one."""
        if old is not None:
            old.end()
        SANDBOX_STARTS.add()
        try:
            worker = Worker(self._config, self._limits)
        except Overloaded as error:
            with self._lock:
                self._starting -= 1
            loan.set_exception(error)
            self._serve()
            return
        with self._lock:
            self._starting -= 1
            closed = self._closed
            if not closed:
                self._busy.add(worker)
        if closed:
            worker.end()
            loan.set_exception(_stopping())
        else:
            loan.set_result(worker)


def _stopping() -> Overloaded:
    return Overloaded("the server stops; come again", "", 1.0)

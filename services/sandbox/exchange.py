"""An asking that the event loop itself goes through.

Where a process is at rest it is asked at once; what it answers is told, and the next question
asked, in the very callback that reads the answer: no task, no thread, no turn of the loop in
between, of which a busy one has few.
"""

import asyncio
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Generic

from services.sandbox.asking import Asking, Found, Step, advanced
from services.sandbox.process import Died, Worker


@dataclass(frozen=True, slots=True)
class Lender:
    """Whom to have processes of."""

    at_once: Callable[[bool], Worker | None]
    """One if it is at rest and nobody waits; a fresh one, if that is asked for."""

    in_turn: Callable[[bool], Coroutine[None, None, Worker]]
    """One when it is one's turn. Raises Overloaded."""

    give_back: Callable[[Worker], None]
    """It is asked no more."""


class Exchange(Generic[Found]):
    """One asking, on the event loop that runs; `told` is called with what it finds, or why not."""

    def __init__(
        self, asking: Asking[Found], lender: Lender, told: Callable[[Found | Exception], None]
    ) -> None:
        self._asking = asking
        self._lender = lender
        self._told = told
        self._loop = asyncio.get_running_loop()
        self._coming: asyncio.Task[Worker] | None = None
        self._worker: Worker | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._abandoned = False

    def begin(self) -> None:
        """Ask; call it once."""
        self._go(None)

    def abandon(self) -> None:
        """Nobody wants the answer: nothing is told, and a process that is asked is ended."""
        self._abandoned = True
        if self._coming is not None:
            self._coming.cancel()
        if self._worker is not None:
            self._worker.dead = True
            self._give_back()

    def _go(self, news: object) -> None:
        """Go on with a process, an answer or a death, as far as it goes without waiting."""
        try:
            step = advanced(self._asking, news)
            while step.question is None and step.end is None:
                self._give_back()
                self._worker = self._lender.at_once(step.fresh)
                if self._worker is None:
                    self._wait(step)
                    return
                step = advanced(self._asking, self._worker)
        except Exception as problem:  # noqa: BLE001 - whatever it is, who asked hears it
            self._end(problem)
            return
        if step.end is not None:
            self._end(step.end[0])
        else:
            self._ask(step)

    def _wait(self, step: Step[Found]) -> None:
        self._coming = asyncio.create_task(self._lender.in_turn(step.fresh))
        self._coming.add_done_callback(self._lent)

    def _lent(self, coming: "asyncio.Task[Worker]") -> None:
        self._coming = None
        if coming.cancelled():
            return
        problem = coming.exception()
        if problem is None:
            self._worker = coming.result()
        if self._abandoned:
            self._give_back()
        elif isinstance(problem, Exception):
            self._end(problem)
        else:
            self._go(self._worker)

    def _ask(self, step: Step[Found]) -> None:
        question, worker = step.question, self._worker
        assert question is not None  # noqa: S101 - who calls has seen it
        assert worker is not None  # noqa: S101 - and has had it told to the asking
        try:
            worker.begin(question.words, question.media)
        except Died as death:
            self._go(death)
            return
        self._timer = self._loop.call_later(question.seconds, self._late, worker)
        self._loop.add_reader(worker.fileno(), self._readable, worker)

    def _readable(self, worker: Worker) -> None:
        try:
            heard = worker.hear()
        except Died as death:
            heard = (death,)
        if heard is not None:
            self._leave(worker)
            self._go(heard[0])

    def _late(self, worker: Worker) -> None:
        self._leave(worker)
        self._go(worker.late())

    def _leave(self, worker: Worker) -> None:
        """Listen no longer."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
            self._loop.remove_reader(worker.fileno())

    def _give_back(self) -> None:
        worker, self._worker = self._worker, None
        if worker is not None:
            self._leave(worker)
            self._lender.give_back(worker)

    def _end(self, found: Found | Exception) -> None:
        self._give_back()
        self._told(found)

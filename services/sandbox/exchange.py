"""A question to a process that the event loop itself waits for: no hop between threads."""

import asyncio
from typing import Any

from services.sandbox.asking import Question
from services.sandbox.process import Died, Worker


class Exchange:
    """One question and its answer, on the event loop that runs."""

    def __init__(self, worker: Worker, question: Question) -> None:
        self._worker = worker
        self._loop = asyncio.get_running_loop()
        self._timer: asyncio.TimerHandle | None = None
        self.answer: asyncio.Future[Any] = self._loop.create_future()
        """What the process says, or Died."""

        try:
            worker.begin(question.words, question.media)
        except Died as death:
            self.answer.set_exception(death)
            return
        self._timer = self._loop.call_later(question.seconds, self._late)
        self._loop.add_reader(worker.fileno(), self._readable)

    def abandon(self) -> None:
        """Nobody wants the answer; the process is of no use to anybody else."""
        self._worker.dead = True
        self._over()

    def _readable(self) -> None:
        try:
            heard = self._worker.hear()
        except Died as death:
            self._over(death)
            return
        if heard is not None:
            self._over()
            if not self.answer.done():  # cancelled, this very moment
                self.answer.set_result(heard[0])

    def _late(self) -> None:
        self._over(self._worker.late())

    def _over(self, death: Died | None = None) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
            self._loop.remove_reader(self._worker.fileno())
        if death is not None and not self.answer.done():
            self.answer.set_exception(death)


async def glanced(worker: Worker, question: Question) -> Any:
    """What the process answers, or how it died."""
    exchange = Exchange(worker, question)
    try:
        return await exchange.answer
    except Died as death:
        return death
    except asyncio.CancelledError:  # the server stops
        exchange.abandon()
        raise

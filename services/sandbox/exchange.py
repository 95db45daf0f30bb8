"""A question to a process that the event loop itself waits for: no hop between threads."""

import asyncio
from typing import Any

from services.sandbox.asking import Question
from services.sandbox.process import Died, Worker


def asked(worker: Worker, question: Question) -> "asyncio.Future[Any]":
    """The answer to come, or Died. It comes whether anybody waits for it or not."""
    loop = asyncio.get_running_loop()
    answer: asyncio.Future[Any] = loop.create_future()
    try:
        worker.begin(question.words, question.media)
    except Died as death:
        answer.set_exception(death)
        return answer

    def readable() -> None:
        try:
            heard = worker.hear()
        except Died as death:
            answer.set_exception(death)
        else:
            if heard is None:
                return
            answer.set_result(heard[0])
        over()

    def late() -> None:
        answer.set_exception(worker.late())
        over()

    def over() -> None:
        loop.remove_reader(worker.fileno())
        timer.cancel()

    timer = loop.call_later(question.seconds, late)
    loop.add_reader(worker.fileno(), readable)
    return answer

"""Ask the server all questions, one after the other, each in a session of its own."""

import asyncio
from collections.abc import Callable, Sequence

from rankspace.client import Answer, AsyncClient
from rankspace.media.sample import Part
from services.demo.questions import Question

AT_ONCE = 1
"""One after the other: two small answers at once wait for one interpreter, and take longer."""


async def ask(
    client: AsyncClient, questions: Sequence[Question], asked: Callable[[], None]
) -> list[Part]:
    """The answers in the order of the questions; `asked` is called after each."""
    gate = asyncio.Semaphore(AT_ONCE)

    async def one(question: Question) -> Part:
        async with gate:
            answer = await client.ask([question.prompt], question.target, question.sampling)
        asked()
        return _part(answer)

    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(one(question)) for question in questions]
    return [task.result() for task in tasks]


def _part(answer: Answer) -> Part:
    if answer.encoding == "wav":  # streamed, its header cannot say how long it is
        return Part("audio", answer.wav, "wav", answer.role)
    return Part(answer.modality, answer.data, answer.encoding, answer.role)

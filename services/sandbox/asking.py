"""What is asked of the processes, one pack of media after the other.

    parts → packs of what fits into the memory shared with a process → asked → answers, checked

Most headers are told by their first bytes (`rankspace.media.heads`), and only these go into a
process; what they do not tell is looked at whole. A process that dies, hangs or answers nonsense is
replaced, and each part of its pack is asked about again, alone, starting with a process that
nobody's media have been in: what one sender's file did to a process is never laid at another's
door. What fails there too is `DecodeFailed`.

Each function is a generator that does nothing itself. It yields whether it wants a process that is
fresh, and is sent one; then it yields questions, and is sent what that process answers, or Died is
thrown in; it has done with the process when it yields a wish again. So whoever runs it decides
where to wait, and in whose turn.
"""

import time
from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import numpy as np
import structlog

from rankspace.errors import DecodeFailed, InvalidInput, LimitExceeded
from rankspace.media.clip import Clip
from rankspace.media.decode import Decoded
from rankspace.media.heads import Heads, heads_of
from rankspace.media.limits import Limits
from rankspace.media.sample import Part
from services.sandbox.config import SandboxConfig
from services.sandbox.messages import (
    HEADS_AT_ONCE,
    Nonsense,
    pieces,
    read_changed,
    read_decoded,
    read_open,
    read_refused,
    write_part,
)
from services.sandbox.process import Died, Worker

PARTS_AT_ONCE = 16
"""Parts in one question of which all is: others may wait for its answer."""

ALONE_S = 1.0
"""So long one process is asked part by part before others have their turn."""

Found = TypeVar("Found")
Asking = Generator["bool | Question", Any, Found]
Reader = Callable[[Any, Sequence[Part], memoryview], Sequence[Found]]
log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Question:
    """What a process is asked."""

    words: dict[str, Any]
    media: Sequence[bytes | memoryview]
    seconds: float
    """So long it may think."""


@dataclass(frozen=True, slots=True)
class Task:
    """What to ask, under which bounds, until when on the monotonic clock."""

    config: SandboxConfig
    limits: Limits
    until: float

    def judged(self, parts: Sequence[Part]) -> Asking[list[InvalidInput | None]]:
        """Why each part is refused; None: it is not."""
        heads, short, whole = heads_of(parts)
        asked = [short[at] for at in (yield from self.untold(heads))] + whole
        found: list[InvalidInput | None] = [None] * len(parts)
        answers = yield from self.probed([parts[at] for at in asked])
        for at, answer in zip(asked, answers, strict=True):
            found[at] = answer
        return found

    def untold(self, heads: Heads) -> Asking[list[int]]:
        """Which parts their heads do not tell to be in order; those are to be `probed`."""
        if len(heads) <= HEADS_AT_ONCE:
            return (yield from self._heads(heads)) if len(heads) else []
        found: list[int] = []
        for first in range(0, len(heads), HEADS_AT_ONCE):
            some = yield from self._heads(heads.cut(first, first + HEADS_AT_ONCE))
            found += [first + at for at in some]
        return found

    def probed(self, parts: Sequence[Part]) -> Asking[list[InvalidInput | None]]:
        """Why each part is refused, by all of it; None: it is not."""
        return (yield from self._asked("probe", parts, _judged))

    def stripped(self, parts: Sequence[Part]) -> Asking[list[Part | InvalidInput]]:
        """Each part without metadata, or why it is refused."""
        return (yield from self._asked("strip", parts, read_changed))

    def decoded(self, part: Part) -> Asking[Decoded | InvalidInput]:
        """The part decoded, or why it is refused."""
        (answer,) = yield from self._asked("decode", [part], _decoded)
        return answer

    def _heads(self, heads: Heads) -> Asking[list[int]]:
        """Which of the parts have to be looked at whole."""
        worker: Worker = yield False
        words, media = {"task": "heads", "parts": len(heads)}, (heads.rows, heads.data)
        try:
            answer = yield Question(words, media, self._patience("heads"))
            return read_open(answer, len(heads))
        except Nonsense:
            worker.dead = True
        except Died:
            pass
        return [*range(len(heads))]

    def _asked(
        self, task: str, parts: Sequence[Part], read: "Reader[Found]"
    ) -> Asking[list[Found | InvalidInput]]:
        answers: list[Found | InvalidInput] = []
        for pack in self._packs(parts):
            worker = yield False
            try:
                answers += yield from self._put(worker, task, pack, read)
            except Died:
                answers += yield from self._alone(task, pack, read)
        return answers

    def _alone(
        self, task: str, pack: Sequence[Part], read: "Reader[Found]"
    ) -> Asking[list[Found | InvalidInput]]:
        """The answers for a pack that a process died of: part by part, no other sender's before."""
        answers: list[Found | InvalidInput] = []
        rest = list(pack)
        while rest:
            worker = yield True
            until = time.monotonic() + ALONE_S
            try:
                while rest and time.monotonic() < until:
                    answers += yield from self._put(worker, task, rest[:1], read)
                    del rest[:1]
            except Died as death:
                log.warning("decoding failed", how=death.how, modality=rest[0].modality)
                answers.append(self._failed(death, task))
                del rest[:1]
        return answers

    def _put(
        self, worker: Worker, task: str, pack: Sequence[Part], read: "Reader[Found]"
    ) -> Asking[list[Found | InvalidInput]]:
        """Ask one process and check what it says. Raises Died."""
        media = [piece for part in pack for piece in pieces(part)]
        question = {"task": task, "parts": [write_part(part) for part in pack]}
        answer = yield Question(question, media, self._patience(task))
        try:
            refused = read_refused(answer, len(pack))
            found = read(answer, pack, worker.media) if None in refused else []
        except (Nonsense, TypeError, KeyError, ValueError):
            worker.dead = True
            raise Died("fault") from None
        worker.forget(max(sum(map(len, media)), sum(map(_bytes, found))))
        return [found[at] if error is None else error for at, error in enumerate(refused)]

    def _packs(self, parts: Sequence[Part]) -> Iterator[list[Part]]:
        """The parts, as many at once as go into one question."""
        pack: list[Part] = []
        size = 0
        for part in parts:
            weight = sum(map(len, pieces(part)))
            if pack and (size + weight > self.limits.part_bytes_max or len(pack) == PARTS_AT_ONCE):
                yield pack
                pack, size = [], 0
            pack.append(part)
            size += weight
        if pack:
            yield pack

    def _patience(self, task: str) -> float:
        seconds = min(self.config.patience * self._seconds(task), self.until - time.monotonic())
        if seconds <= 0:
            raise LimitExceeded(
                f"looking at the media took more than {self.config.batch_s_max:g} seconds; "
                "send fewer samples in a batch",
                "batch.samples",
            )
        return seconds

    def _seconds(self, task: str) -> int:
        return self.config.decode_s_max if task == "decode" else self.config.probe_s_max

    def _failed(self, death: Died, task: str) -> DecodeFailed:
        if death.how == "time":
            seconds = f"{self._seconds(task)} seconds"
            return DecodeFailed(f"reading it takes more than {seconds}; send it re-encoded", "data")
        return DecodeFailed("no decoder survives this file; send it re-encoded", "data")


@dataclass(frozen=True, slots=True)
class Step(Generic[Found]):
    """How far asking has come: it wants a process, has a question for it, or has ended."""

    fresh: bool = False
    question: Question | None = None
    end: tuple[Found] | None = None


def advanced(asking: Asking[Found], news: object = None) -> Step[Found]:
    """Go on with what has come: a process, an answer, or a death."""
    try:
        wish = asking.throw(news) if isinstance(news, Died) else asking.send(news)
    except StopIteration as end:
        return Step(end=(end.value,))
    return Step(question=wish) if isinstance(wish, Question) else Step(wish)


def through(asking: Asking[Found], worker: Worker, step: Step[Found]) -> Step[Found]:
    """Ask a process all questions that there are for it, and wait in this thread."""
    while (question := step.question) is not None:
        try:
            news = worker.ask(question.words, question.media, question.seconds)
        except Died as death:
            news = death
        step = advanced(asking, news)
    return step


def _judged(_answer: Any, pack: Sequence[Part], _media: memoryview) -> list[None]:
    return [None] * len(pack)


def _decoded(answer: Any, pack: Sequence[Part], media: memoryview) -> list[Decoded]:
    return [read_decoded(answer, pack[0], media)]


def _bytes(answer: object) -> int:
    """What an answer took of the shared memory."""
    match answer:
        case np.ndarray():
            return answer.nbytes
        case Clip():
            return answer.audio.nbytes + sum(frame.pixels.nbytes for frame in answer.frames)
    return 0

"""The sandbox: media go in; what their headers say, or what they hold, comes out.

    parts → packs of what fits into the memory shared with a process → asked of a process at rest
          → answers, checked

A process that dies, hangs or answers nonsense is replaced, and each part of its pack is asked about
again, alone, starting with a process that nobody's media have been in: what one sender's file did
to a process is never laid at another's door. What fails there too is `DecodeFailed`.
"""

import asyncio
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

import numpy as np
import structlog

from rankspace.errors import DecodeFailed, InvalidInput, LimitExceeded, Overloaded
from rankspace.media import text
from rankspace.media.clip import Clip, Probe
from rankspace.media.decode import Decoded
from rankspace.media.limits import Limits
from rankspace.media.probe import placed
from rankspace.media.sample import Part, Sample
from services.sandbox.config import SandboxConfig
from services.sandbox.confine import PROTECTIONS
from services.sandbox.messages import (
    Nonsense,
    pieces,
    read_decoded,
    read_error,
    read_probe,
    write_part,
)
from services.sandbox.pool import Pool
from services.sandbox.process import Died, Worker
from services.telemetry.metrics import SANDBOX_SECONDS

PACK_PARTS = 256
"""Parts in one question at most."""

Answer = TypeVar("Answer")
Reader = Callable[[Any, Part, memoryview], Answer]
log = structlog.get_logger()


class Sandbox:
    """Decodes in processes that may die of it. `close` it, or use `with`; safe from any thread."""

    def __init__(self, config: SandboxConfig, limits: Limits) -> None:
        self.limits = limits
        """The bounds that media are held to."""

        self._config = config
        self._pool = Pool(config, limits)
        # While one pack is read in a process, the next is laid out and the last one checked.
        self._threads = ThreadPoolExecutor(2 * self._pool.size, "sandbox")

    def __enter__(self) -> "Sandbox":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End the processes; what is being asked ends as Overloaded."""
        self._pool.close()
        self._threads.shutdown(cancel_futures=True)

    def protections(self) -> tuple[str, ...]:
        """Which of `confine.PROTECTIONS` are in force; starts a process to see."""
        with self._pool.lease(self._until()) as worker:
            return worker.protections

    async def checked(self, samples: Sequence[Sample]) -> list[InvalidInput | None]:
        """`check` for an event loop; samples of text alone never wait behind media."""
        if not any(part.modality != "text" for sample in samples for part in sample.parts):
            return [None] * len(samples)
        return await asyncio.get_running_loop().run_in_executor(self._threads, self.check, samples)

    def check(self, samples: Sequence[Sample]) -> list[InvalidInput | None]:
        """What is wrong with the header of a sample's first bad medium, for each sample.

        Their form is taken to be right; see `rankspace.media.probe.check_form`. Raises
        LimitExceeded if all of them together take too long, Overloaded if nobody can look.
        """
        asked = [
            (index, at, part)
            for index, sample in enumerate(samples)
            for at, part in enumerate(sample.parts)
            if part.modality != "text"
        ]
        found: list[InvalidInput | None] = [None] * len(samples)
        answers = self._ask("probe", [part for _, _, part in asked], _as_probe)
        for (index, at, _), answer in zip(asked, answers, strict=True):
            if isinstance(answer, InvalidInput) and found[index] is None:
                found[index] = placed(answer, at)
        return found

    def decode(self, part: Part) -> Decoded:
        """The part decoded. Raises as `rankspace.media.decode.media`, or DecodeFailed."""
        if part.modality == "text":
            return text.decode(part, self.limits)
        answers: list[Decoded | InvalidInput] = self._ask("decode", [part], read_decoded)
        if isinstance(answers[0], InvalidInput):
            raise answers[0]
        return answers[0]

    def _ask(
        self, task: str, parts: Iterable[Part], read: "Reader[Answer]"
    ) -> list[Answer | InvalidInput]:
        began, until = time.monotonic(), self._until()
        answers: list[Answer | InvalidInput] = []
        for pack in self._packs(parts):
            try:
                with self._pool.lease(until) as worker:
                    answers += self._put(worker, task, pack, read, until)
            except Died:
                answers += self._alone(task, pack, read, until)
        SANDBOX_SECONDS.see(time.monotonic() - began)
        return answers

    def _alone(
        self, task: str, pack: Sequence[Part], read: "Reader[Answer]", until: float
    ) -> list[Answer | InvalidInput]:
        """The answers for a pack that a process died of: part by part, no other sender's before."""
        answers: list[Answer | InvalidInput] = []
        rest = list(pack)
        while rest:
            try:
                with self._pool.lease(until, fresh=True) as worker:
                    while rest:
                        answers += self._put(worker, task, rest[:1], read, until)
                        del rest[:1]
            except Died as death:
                log.warning("decoding failed", how=death.how, modality=rest[0].modality)
                answers.append(self._failed(death, task))
                del rest[:1]
        return answers

    def _put(
        self,
        worker: Worker,
        task: str,
        pack: Sequence[Part],
        read: "Reader[Answer]",
        until: float,
    ) -> list[Answer | InvalidInput]:
        """Ask one process and check what it says. Raises Died."""
        seconds = min(self._config.patience * self._seconds(task), until - time.monotonic())
        if seconds <= 0:
            raise self._late()
        media = [piece for part in pack for piece in pieces(part)]
        question = {"task": task, "parts": [write_part(part) for part in pack]}
        answer = worker.ask(question, media, seconds)
        try:
            found = [
                read_error(result) or read(result, part, worker.media)
                for part, result in zip(pack, answer["results"], strict=True)
            ]
        except (Nonsense, TypeError, KeyError, ValueError):
            raise Died("fault") from None
        worker.forget(max(sum(map(len, media)), *map(_bytes, found)))
        return found

    def _packs(self, parts: Iterable[Part]) -> Iterator[list[Part]]:
        """The parts, as many at once as go into one question."""
        pack: list[Part] = []
        size = 0
        for part in parts:
            weight = sum(map(len, pieces(part)))
            if pack and (size + weight > self.limits.part_bytes_max or len(pack) == PACK_PARTS):
                yield pack
                pack, size = [], 0
            pack.append(part)
            size += weight
        if pack:
            yield pack

    def _until(self) -> float:
        return time.monotonic() + self._config.batch_s_max

    def _seconds(self, task: str) -> int:
        return self._config.probe_s_max if task == "probe" else self._config.decode_s_max

    def _failed(self, death: Died, task: str) -> DecodeFailed:
        if death.how == "time":
            seconds = f"{self._seconds(task)} seconds"
            return DecodeFailed(f"reading it takes more than {seconds}; send it re-encoded", "data")
        return DecodeFailed("no decoder survives this file; send it re-encoded", "data")

    def _late(self) -> LimitExceeded:
        return LimitExceeded(
            f"looking at the media took more than {self._config.batch_s_max:g} seconds; "
            "send fewer samples in a batch",
            "batch.samples",
        )


def _as_probe(result: Any, part: Part, _media: memoryview) -> Probe:
    return read_probe(result, part)


def _bytes(answer: object) -> int:
    """What an answer took of the shared memory."""
    match answer:
        case np.ndarray():
            return answer.nbytes
        case Clip():
            return answer.audio.nbytes + sum(frame.pixels.nbytes for frame in answer.frames)
    return 0


def report(config: SandboxConfig, limits: Limits) -> None:
    """Start a process and write into the log what it is kept from, and what not, on this system."""
    try:
        with Sandbox(config, limits) as sandbox:
            found = sandbox.protections()
    except Overloaded as error:
        log.error("sandbox", problem=str(error))
        return
    missing = [name for name in PROTECTIONS if name not in found]
    tell = log.info if "calls" in found and "limits" in found else log.warning
    tell("sandbox", in_force=list(found), not_in_force=missing)

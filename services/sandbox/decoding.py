"""The sandbox: media go in; what is wrong with their headers, or what they hold, comes out.

`asking.py` says what the processes are asked, `pool.py` whose turn it is; here is who waits: a
thread, or an event loop, which gives one only to who has a process to ask about more than heads.
"""

import asyncio
import time
from collections.abc import Callable, Coroutine, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from functools import partial

import structlog

from rankspace.errors import InvalidInput, Overloaded
from rankspace.media import text
from rankspace.media.decode import Decoded
from rankspace.media.heads import Heads, heads_of
from rankspace.media.limits import Limits
from rankspace.media.probe import placed
from rankspace.media.sample import Part, Sample
from services.sandbox.asking import Asking, Found, Step, Task, advanced, through
from services.sandbox.config import SandboxConfig
from services.sandbox.confine import PROTECTIONS
from services.sandbox.exchange import Lender
from services.sandbox.gathering import Gathering
from services.sandbox.pool import Loan, Pool
from services.sandbox.process import Worker
from services.telemetry.metrics import SANDBOX_SECONDS

Places = list[tuple[int, int]]
log = structlog.get_logger()


class Sandbox:
    """Decodes in processes that may die of it. `close` it, or use `with`; safe from any thread."""

    def __init__(self, config: SandboxConfig, limits: Limits) -> None:
        self.limits = limits
        """The bounds that media are held to."""

        self._config = config
        self._pool = Pool(config, limits)
        self._threads = ThreadPoolExecutor(self._pool.size, "sandbox")
        self._gathering = Gathering(self._glance)

    def __enter__(self) -> "Sandbox":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End the processes; what is being asked ends as Overloaded."""
        self._pool.close()
        self._threads.shutdown(cancel_futures=True)

    @property
    def processes(self) -> tuple[int, ...]:
        """The processes that are at rest, by their numbers."""
        return self._pool.at_rest()

    def protections(self) -> tuple[str, ...]:
        """Which of `confine.PROTECTIONS` are in force; starts a process to see."""
        worker = self._pool.at_once() or self._lent(self._pool.borrow(""), self._task().until)
        self._pool.give_back(worker)
        return worker.protections

    def report(self) -> None:
        """The same, and what is not in force on this system, into the log."""
        try:
            found = self.protections()
        except Overloaded as error:
            log.error("sandbox", problem=str(error))
            return
        missing = [name for name in PROTECTIONS if name not in found]
        tell = log.info if "calls" in found and "limits" in found else log.warning
        tell("sandbox", in_force=list(found), not_in_force=missing)

    async def checked(
        self, samples: Sequence[Sample], tenant: str = ""
    ) -> list[InvalidInput | None]:
        """`check` for an event loop; samples of text alone never wait behind media."""
        places, parts = _media(samples)
        found: list[InvalidInput | None] = [None] * len(samples)
        if not parts:
            return found
        with _timed():
            heads, short, whole = heads_of(parts)
            asked = sorted([*(short[at] for at in await self.untold(heads, tenant)), *whole])
            if asked:
                task = self._task()
                asking = task.probed([parts[at] for at in asked])
                answers = await self._awaited(task, asking, tenant)
                found = _first(len(samples), [places[at] for at in asked], answers)
        return found

    async def untold(self, heads: Heads, tenant: str = "") -> list[int]:
        """Which parts the first bytes of their media do not tell to be in order."""
        return await self._gathering.untold(heads, tenant) if len(heads) else []

    async def stripped(
        self, samples: Sequence[Sample], tenant: str = ""
    ) -> list[Sample | InvalidInput]:
        """`strip` for an event loop."""
        places, parts = _media(samples)
        if not parts:
            return [*samples]
        task = self._task()
        with _timed():
            answers = await self._awaited(task, task.stripped(parts), tenant)
        return _again(samples, places, answers)

    def check(self, samples: Sequence[Sample], tenant: str = "") -> list[InvalidInput | None]:
        """What is wrong with the header of a sample's first bad medium, for each sample.

        Their form is taken to be right; see `rankspace.media.probe.check_form`. Raises
        LimitExceeded if all of them together take too long, Overloaded if nobody can look.
        """
        places, parts = _media(samples)
        task = self._task()
        return _first(len(samples), places, self._waited(task, task.judged(parts), tenant))

    def strip(self, samples: Sequence[Sample], tenant: str = "") -> list[Sample | InvalidInput]:
        """Each sample without the metadata of its media, or what is wrong with the first of them.

        Raises as `check`.
        """
        places, parts = _media(samples)
        task = self._task()
        return _again(samples, places, self._waited(task, task.stripped(parts), tenant))

    def decode(self, part: Part, tenant: str = "") -> Decoded:
        """The part decoded. Raises as `rankspace.media.decode.media`, or DecodeFailed."""
        if part.modality == "text":
            return text.decode(part, self.limits)
        task = self._task()
        answer = self._waited(task, task.decoded(part), tenant)
        if isinstance(answer, InvalidInput):
            raise answer
        return answer

    def _task(self) -> Task:
        return Task(self._config, self.limits, time.monotonic() + self._config.batch_s_max)

    def _waited(self, task: Task, asking: Asking[Found], tenant: str) -> Found:
        """Ask, and wait in this thread."""
        with _timed():
            step = advanced(asking)
            while step.end is None:
                worker = self._pool.at_once(step.fresh) or self._lent(
                    self._pool.borrow(tenant, fresh=step.fresh), task.until
                )
                try:
                    step = through(asking, worker, advanced(asking, worker))
                finally:
                    self._pool.give_back(worker)
        return step.end[0]

    def _glance(self, heads: Heads, tenant: str) -> tuple[Asking[list[int]], Lender]:
        task = self._task()
        in_turn = partial(self._in_turn, task, tenant)
        return task.untold(heads), Lender(self._pool.at_once, in_turn, self._give_back)

    async def _awaited(self, task: Task, asking: Asking[Found], tenant: str) -> Found:
        """Ask, and let others go on meanwhile."""
        step = advanced(asking)
        while step.end is None:
            worker = self._pool.at_once(step.fresh)
            step = await self._with(asking, worker or await self._in_turn(task, tenant, step.fresh))
        return step.end[0]

    async def _with(self, asking: Asking[Found], worker: Worker) -> Step[Found]:
        """Ask this process; it goes back when it has answered, whoever waits for that."""
        try:
            asked = self._submitted(lambda: through(asking, worker, advanced(asking, worker)))
        except BaseException:
            self._give_back(worker)
            raise
        asked.add_done_callback(lambda _: self._pool.give_back(worker))
        return await asyncio.wrap_future(asked)

    def _submitted(self, task: Callable[[], Found]) -> Future[Found]:
        try:
            return self._threads.submit(task)
        except RuntimeError:  # closed
            raise Overloaded("the server stops; come again", "", 1.0) from None

    def _give_back(self, worker: Worker) -> None:
        """From the event loop: the end of a dead process is waited for in a thread."""
        if not worker.dead:
            self._pool.give_back(worker)
            return

        def ended(done: Future[None]) -> None:
            if done.cancelled():
                self._pool.give_back(worker)

        try:
            self._submitted(lambda: self._pool.give_back(worker)).add_done_callback(ended)
        except Overloaded:
            self._pool.give_back(worker)

    def _in_turn(self, task: Task, tenant: str, fresh: bool) -> Coroutine[None, None, Worker]:
        """`_lent` for an event loop: one is in line from here on."""
        return self._turn(self._pool.borrow(tenant, fresh=fresh), task.until)

    async def _turn(self, loan: Loan, until: float) -> Worker:
        try:
            try:
                async with asyncio.timeout(until - time.monotonic()):
                    return await asyncio.wrap_future(loan)
            except TimeoutError:
                if loan.cancel():
                    raise _waited_too_long() from None
                return await asyncio.wrap_future(loan)
        except asyncio.CancelledError:
            self._pool.leave(loan)
            raise

    def _lent(self, loan: Loan, until: float) -> Worker:
        """The process, if it is one's turn by then; one that is starting already is waited for."""
        try:
            return loan.result(max(0.0, until - time.monotonic()))
        except TimeoutError:
            if loan.cancel():
                raise _waited_too_long() from None
            return loan.result()


@contextmanager
def _timed() -> Iterator[None]:
    began = time.monotonic()
    yield
    SANDBOX_SECONDS.see(time.monotonic() - began)


def _media(samples: Sequence[Sample]) -> tuple[Places, list[Part]]:
    """Every part that is no text, and where it is: (sample, part)."""
    found = [
        (index, at, part)
        for index, sample in enumerate(samples)
        for at, part in enumerate(sample.parts)
        if part.modality != "text"
    ]
    return [(index, at) for index, at, _ in found], [part for _, _, part in found]


def _first(
    count: int, places: Places, answers: Sequence[InvalidInput | None]
) -> list[InvalidInput | None]:
    """Of each sample the first thing that is wrong with it."""
    found: list[InvalidInput | None] = [None] * count
    for (index, at), answer in zip(places, answers, strict=True):
        if answer is not None and found[index] is None:
            found[index] = placed(answer, at)
    return found


def _again(
    samples: Sequence[Sample], places: Places, answers: Sequence[Part | InvalidInput]
) -> list[Sample | InvalidInput]:
    """The samples with these parts, or what is wrong with them."""
    errors = [one if isinstance(one, InvalidInput) else None for one in answers]
    parts = [list(sample.parts) for sample in samples]
    for (index, at), answer in zip(places, answers, strict=True):
        if not isinstance(answer, InvalidInput):
            parts[index][at] = answer
    return [
        error or replace(sample, parts=tuple(mine))
        for sample, mine, error in zip(
            samples, parts, _first(len(samples), places, errors), strict=True
        )
    ]


def _waited_too_long() -> Overloaded:
    return Overloaded("media wait to be looked at for too long; come again", "", 1.0)

"""The calls that are open, and what ends one that its caller or the server has forgotten.

A call is ended from outside by cancelling its task with the error it is to end with, as a timeout
does. It ends when its token is worth nothing any more, when one answer takes too long, and when
its caller says nothing for too long, before the first message or in a stream of them. A call that
waits for news of ours may wait as long as it likes.
"""

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from typing import Any

import structlog

from rankspace.errors import Denied, RankspaceError, TimedOut
from services.auth import ANYONE, Caller, Guard, Rule
from services.meanwhile import meanwhile

TICKS = 4
"""How often in the shortest of the times below the calls are looked at."""

log = structlog.get_logger()


@dataclass(eq=False, slots=True)
class OpenCall:
    """One call."""

    method: str
    rule: Rule
    streams_in: bool
    """The caller sends any number of messages."""

    streams_out: bool
    """The server does."""

    task: asyncio.Task[Any]
    caller: Caller = ANYONE
    about: str = ""
    """The name of what it is about."""

    began: float = field(default_factory=time.monotonic)
    moved: float = field(default_factory=time.monotonic)
    """When a message last went either way."""

    writing: bool = False
    """An answer waits for the caller to take it."""

    begun: bool = False
    """Its first message is there."""

    error: RankspaceError | None = None
    """What it was ended with from outside."""

    def end(self, error: RankspaceError) -> None:
        """End it with an error."""
        if self.error is None:
            self.error = error
            self.task.cancel()

    @contextmanager
    def told(self) -> Iterator[None]:
        """Turn the cancellation by `end` into its error."""
        try:
            yield
        except asyncio.CancelledError:
            if self.error is None or self.writing:
                raise  # an answer that nobody takes keeps any other from being sent: gRPC resets
            self.task.uncancel()
            raise self.error from None

    def move(self) -> None:
        """A message went one way or the other."""
        self.moved = time.monotonic()

    @contextmanager
    def says(self) -> Iterator[None]:
        """An answer is on its way until the caller has taken it."""
        self.move()
        self.writing = True
        yield  # what breaks this off leaves it so
        self.writing = False
        self.move()

    def heard(self) -> None:
        """A message of the caller's is there."""
        self.begun = True
        self.move()

    def waits(self) -> bool:
        """Whether it is the caller that says nothing.

        One who does not take what is sent says nothing either. But an answer that is on its way
        keeps gRPC from ending the call; it ends with its connection, whose age is bounded.
        """
        return not self.writing and (self.streams_in or not self.begun)


def current(method: str, rule: Rule, streams_in: bool, streams_out: bool) -> OpenCall:
    """The call that this task serves."""
    task = asyncio.current_task()
    if task is None:
        raise RuntimeError("a call is served by a task")
    return OpenCall(method, rule, streams_in, streams_out, task)


class OpenCalls:
    """All calls that are open, while `watched` is open."""

    def __init__(self, guard: Guard, recheck_s: float, unary_s: float, idle_s: float) -> None:
        self._guard = guard
        self._recheck_s = recheck_s
        self._unary_s = unary_s
        self._idle_s = idle_s
        self._calls: set[OpenCall] = set()
        self.at_work = 0
        self.for_everyone = 0
        self.of_tenant: Counter[str] = Counter()

    def begin(self, call: OpenCall) -> None:
        """Watch a call until its task has ended."""
        self._calls.add(call)
        call.task.add_done_callback(lambda _: self._calls.discard(call))

    @contextmanager
    def working(self, call: OpenCall) -> Iterator[None]:
        """Count a call among those at work; strangers' take no room from the others'."""
        if call.rule.everyone:
            self.for_everyone += 1
            try:
                yield
            finally:
                self.for_everyone -= 1
            return
        tenant = call.caller.tenant
        self.at_work += 1
        self.of_tenant[tenant] += 1
        try:
            yield
        finally:
            self.at_work -= 1
            self.of_tenant[tenant] -= 1
            self.of_tenant += Counter()  # forgets tenants without a call

    @asynccontextmanager
    async def watched(self) -> AsyncIterator[None]:
        """Look after the calls for the length of the block."""
        async with meanwhile(self._time_out(), self._recheck()):
            yield

    async def _time_out(self) -> None:
        while True:
            await asyncio.sleep(min(self._unary_s, self._idle_s) / TICKS)
            now = time.monotonic()
            for call in list(self._calls):
                if now - call.moved > self._idle_s and call.waits():
                    call.end(TimedOut(f"nothing came or went for {self._idle_s:g} s; call again"))
                elif not (call.streams_in or call.streams_out) and now - call.began > self._unary_s:
                    call.end(TimedOut(f"no answer was found within {self._unary_s:g} s"))

    async def _recheck(self) -> None:
        while True:
            await asyncio.sleep(self._recheck_s)
            hashes = {call.caller.sha256 for call in self._calls} - {""}
            try:
                worthless = await self._guard.worthless(hashes)
            except RankspaceError as error:  # such as a busy store: it will pass
                log.warning("tokens cannot be looked up", problem=str(error))
                continue
            for call in list(self._calls):
                if call.caller.sha256 in worthless:
                    call.end(Denied("the token was revoked or has expired"))

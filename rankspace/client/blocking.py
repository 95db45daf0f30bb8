"""The client for code that waits: every call runs on a private event loop in a daemon thread.

The thread starts with the first call. An interrupt (Ctrl-C) cancels the call before it goes on.
Samples to append are drawn from the caller's iterable in the caller's own thread.
"""

import asyncio
import os
import threading
import weakref
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from functools import wraps
from types import TracebackType
from typing import Any, Concatenate, ParamSpec, TypeVar, cast

from rankspace.client.appending import AppendSummary, Progress, Reject
from rankspace.client.calls import AsyncClient
from rankspace.client.connection import FORKED, Tls
from rankspace.client.feed import Feed
from rankspace.client.generation import DEFAULT, Said, Session
from rankspace.client.growing import waits
from rankspace.errors import Refused
from rankspace.generation.request import Delta, Sampling, Target
from rankspace.media.sample import Sample

P = ParamSpec("P")
Result = TypeVar("Result")
Item = TypeVar("Item")

_END = object()


class Loop:
    """An event loop in a thread of its own."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._process = 0

    def run(self, work: Coroutine[Any, Any, Result]) -> Result:
        """Do it there and wait for it here."""
        try:
            loop = self.running()
        except Refused:
            work.close()
            raise
        future = asyncio.run_coroutine_threadsafe(work, loop)
        try:
            return future.result()
        finally:
            future.cancel()  # changes nothing unless the wait was interrupted

    def each(self, items: AsyncIterator[Item]) -> Iterator[Item]:
        """Draw them there, one by one, and give them here."""

        async def draw() -> Item:
            return cast(Item, await anext(items, _END))

        async def close() -> None:
            await items.aclose()  # type: ignore[attr-defined]  # ours are all generators

        try:
            while (item := self.run(draw())) is not _END:
                yield item
        finally:
            self.run(close())

    def running(self) -> asyncio.AbstractEventLoop:
        """The loop, started at first use."""
        with self._lock:
            if self._loop is None:
                self._loop = asyncio.new_event_loop()
                self._process = os.getpid()
                thread = threading.Thread(
                    target=self._loop.run_forever, name="rankspace-client", daemon=True
                )
                thread.start()
                self._end = weakref.finalize(self, _end, self._loop, thread)
            if self._process != os.getpid():
                raise Refused(FORKED)
            return self._loop

    def stop(self) -> None:
        """End the thread; a later call starts another."""
        with self._lock:
            if self._loop is not None:
                self._loop = None
                self._end()


def _end(loop: asyncio.AbstractEventLoop, thread: threading.Thread) -> None:
    """At the latest at the interpreter's end, whose last moments a running loop would disturb."""
    loop.call_soon_threadsafe(loop.stop)
    thread.join(timeout=5)
    if not loop.is_running():
        loop.close()


def _waiting(
    call: Callable[Concatenate[AsyncClient, P], Coroutine[Any, Any, Result]],
) -> Callable[Concatenate["Client", P], Result]:
    @wraps(call)
    def waits(client: "Client", /, *args: P.args, **kwargs: P.kwargs) -> Result:
        return client._loop.run(call(client._client, *args, **kwargs))

    return waits


def _drawing(
    call: Callable[Concatenate[AsyncClient, P], AsyncIterator[Item]],
) -> Callable[Concatenate["Client", P], Iterator[Item]]:
    @wraps(call)
    def draws(client: "Client", /, *args: P.args, **kwargs: P.kwargs) -> Iterator[Item]:
        return client._loop.each(call(client._client, *args, **kwargs))

    return draws


class BlockingSession:
    """One conversation; see `Session`."""

    def __init__(self, session: Session, loop: Loop) -> None:
        self._session = session
        self._loop = loop
        self.session_id = session.session_id
        self.model = session.model

    def send(self, part: Said) -> None:
        """Say the next part."""
        self._loop.run(self._session.send(part))

    def ask(self, target: Target, sampling: Sampling = DEFAULT) -> Iterator[Delta]:
        """End the turn: the answer as it is made, the last delta final."""
        return self._loop.each(self._session.ask(target, sampling))

    def interrupt(self) -> None:
        """Stop the answer that is being made: draw on, its final delta comes next."""
        self._loop.run(self._session.interrupt())


class Client:
    """A client to wait for; any thread may use it."""

    def __init__(
        self,
        target: str,
        *,
        token: str | None = None,
        tls: Tls | bool | None = None,
        timeout_s: float = 30.0,
        patience_s: float = 60.0,
    ) -> None:
        """Name the server as "host:port"; for the rest see `Connection`."""
        self._client = AsyncClient(
            target, token=token, tls=tls, timeout_s=timeout_s, patience_s=patience_s
        )
        self._loop = Loop()

    def __enter__(self) -> "Client":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """End all calls, the connection and the thread."""
        self._loop.run(self._client.close())
        self._loop.stop()

    create_stream = _waiting(AsyncClient.create_stream)
    get_stream = _waiting(AsyncClient.get_stream)
    list_streams = _drawing(AsyncClient.list_streams)
    update_stream = _waiting(AsyncClient.update_stream)
    finalize_stream = _waiting(AsyncClient.finalize_stream)
    delete_stream = _waiting(AsyncClient.delete_stream)
    read = _drawing(AsyncClient.read)
    read_entries = _drawing(AsyncClient.read_entries)
    list_rejects = _drawing(AsyncClient.list_rejects)
    get_reject = _waiting(AsyncClient.get_reject)
    retry_reject = _waiting(AsyncClient.retry_reject)

    create_job = _waiting(AsyncClient.create_job)
    get_job = _waiting(AsyncClient.get_job)
    list_jobs = _drawing(AsyncClient.list_jobs)
    watch_job = _drawing(AsyncClient.watch_job)
    cancel_job = _waiting(AsyncClient.cancel_job)
    pause_job = _waiting(AsyncClient.pause_job)
    resume_job = _waiting(AsyncClient.resume_job)

    get_model_version = _waiting(AsyncClient.get_model_version)
    list_model_versions = _drawing(AsyncClient.list_model_versions)
    get_alias = _waiting(AsyncClient.get_alias)
    list_aliases = _drawing(AsyncClient.list_aliases)
    promote_alias = _waiting(AsyncClient.promote_alias)
    roll_back_alias = _waiting(AsyncClient.roll_back_alias)
    export_model_version = _waiting(AsyncClient.export_model_version)

    generate = _drawing(AsyncClient.generate)
    ask = _waiting(AsyncClient.ask)
    embed = _waiting(AsyncClient.embed)
    score = _waiting(AsyncClient.score)

    def append(
        self,
        stream: str,
        samples: Iterable[Sample],
        *,
        offset: int | None = None,
        take_over: bool = False,
        progress: Progress | None = None,
        rejected: Reject | None = None,
    ) -> AppendSummary:
        """Append samples, each exactly once; see `AsyncClient.append`.

        The callbacks run on the client's own thread.
        """
        feed = Feed(offset)
        work = self._client._append(stream, feed, offset, take_over, (progress, rejected))
        appending = asyncio.run_coroutine_threadsafe(work, self._loop.running())
        try:
            for sample in samples:
                self._put(feed, sample, appending)
                if appending.done():
                    break
            self._loop.run(feed.end())
            return appending.result()
        finally:
            appending.cancel()

    def _put(self, feed: Feed, sample: Sample, appending: "Future[AppendSummary]") -> None:
        """What a sample is made of is drawn here, unless it has to be awaited."""
        if waits(sample):
            self._loop.run(feed.put(sample))
            return
        for message in feed.put_each(sample):
            if appending.done():
                return
            self._loop.run(feed.add(message))

    @contextmanager
    def session(self, model: str = "default", trace: bool = False) -> Iterator[BlockingSession]:
        """Hold a conversation with a model: alias, name (its newest version) or name@version."""
        opening = self._client.session(model, trace)
        session = self._loop.run(opening.__aenter__())
        try:
            yield BlockingSession(session, self._loop)
        finally:
            self._loop.run(opening.__aexit__(None, None, None))

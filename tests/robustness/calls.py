"""One call at a time, as raw as the wire lets it be, each with its line in the history.

What is refused in the call or as the status with a reason has had no effect. What ended otherwise
(a connection that broke, a deadline, a fault of the server's own) is unknown: it may have had.
"""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import grpc

from rankspace.client.failures import failure
from rankspace.store.entries import Rejected
from rankspace.store.retention import EXPIRED
from rankspace.v1 import ingestion_pb2 as pb
from rankspace.v1.ingestion_pb2_grpc import IngestionServiceStub
from rankspace.wire.ingestion import Filter, read_stored, write_filter
from tests.robustness.contents import key, key_of
from tests.robustness.history import Kind, Operation, Recorder, now

PATIENCE_S = 8.0
REFUSALS = frozenset({"FENCED", "STREAM_FINALIZED", "OVERLOADED", "NOT_FOUND", "CORRUPT"})
OPTIONS = (
    ("grpc.use_local_subchannel_pool", 1),  # a connection of one's own, not one of the process
    ("grpc.initial_reconnect_backoff_ms", 50),
    ("grpc.max_reconnect_backoff_ms", 200),
)
EVERYTHING = write_filter(Filter(rejected=True))


ERA = "#"
"""A stream that was made anew has a name of its own in histories: the name, this, and a number."""


class Ended(Exception):
    """The call is over, whatever the reason."""


def wire_name(stream: str) -> str:
    """The name of a stream on the wire."""
    return f"streams/{stream.split(ERA)[0]}"


@dataclass
class Caller:
    """A client with a name, a connection and a history to write."""

    name: str
    port: int
    recorder: Recorder

    def __post_init__(self) -> None:
        self._channel = grpc.aio.insecure_channel(f"127.0.0.1:{self.port}", OPTIONS)
        self.stub: Any = IngestionServiceStub(self._channel)

    async def close(self) -> None:
        """Hang up."""
        await self._channel.close()

    def note(self, kind: Kind, stream: str, invoked: int, **values: Any) -> None:
        """Write an operation that ends now."""
        self.recorder.add(Operation(self.name, kind, stream, invoked, now(), **values))

    @contextmanager
    def unheard(self, kind: Kind, stream: str, invoked: int, **said: Any) -> Iterator[None]:
        """Write down, too, what is cancelled inside: it may have been done."""
        try:
            yield
        except asyncio.CancelledError:
            self.note(kind, stream, invoked, outcome="unknown", reason="CANCELLED", **said)
            raise

    def ended(self, error: Exception, kind: Kind, stream: str, invoked: int, **said: Any) -> None:
        """Write an operation that ended with an error instead of an answer."""
        reason = "UNREACHABLE"
        if isinstance(error, grpc.aio.AioRpcError):
            reason = failure(error).reason()
        # A batch that was on its way when its call ended may have been stored all the same.
        sent = kind in ("append", "piece")
        outcome = "refused" if reason in REFUSALS and not sent else "unknown"
        self.note(kind, stream, invoked, outcome=outcome, reason=reason, **said)

    async def figures(self, kind: Kind, stream: str) -> bool:
        """Look at a stream, or finalize it; whether there was an answer."""
        began, name = now(), wire_name(stream)
        try:
            if kind == "finalize":
                request = pb.FinalizeStreamRequest(name=name)
                with self.unheard(kind, stream, began):
                    answer = await self.stub.FinalizeStream(request, timeout=PATIENCE_S)
            else:
                answer = await self.stub.GetStream(
                    pb.GetStreamRequest(name=name), timeout=PATIENCE_S
                )
        except grpc.aio.AioRpcError as error:
            self.ended(error, kind, stream, began)
            return False
        found = answer.stream
        self.note(
            kind,
            stream,
            began,
            next=found.next_offset,
            finalized=found.state == pb.STREAM_STATE_FINALIZED,
            digest=found.digest,
            first_kept=found.first_kept,
            kept_bytes=found.kept_bytes,
        )
        return True

    async def read(
        self, stream: str, offset: int, limit: int = 0, follow_s: float = 0.0
    ) -> tuple[int, bool]:
        """Read, or follow for a while; where it came to and whether to the end."""
        request = pb.ReadSamplesRequest(
            stream=wire_name(stream), offset=offset, limit=limit, follow=bool(follow_s)
        )
        request.filter.CopyFrom(EVERYTHING)
        reading = Reading(self, stream, offset, limit)
        call = self.stub.ReadSamples(request, timeout=follow_s or 3 * PATIENCE_S)
        try:
            async for response in call:
                reading.take(response)
                if follow_s:
                    reading.tell(whole=False)
        except grpc.aio.AioRpcError as error:
            late = follow_s and error.code() is grpc.StatusCode.DEADLINE_EXCEEDED
            return reading.broke(None if late else error), False
        finally:
            call.cancel()
        reading.tell(whole=True)
        return reading.at, True


class Reading:
    """What one read has shown so far."""

    def __init__(self, caller: Caller, stream: str, offset: int, limit: int) -> None:
        self._caller, self._stream, self._limit = caller, stream, limit
        self._began, self._start, self._keys = now(), offset, list[str]()
        self._expired: list[int] = []

    @property
    def at(self) -> int:
        """Where it has come to."""
        return self._start + len(self._keys)

    def take(self, response: Any) -> None:
        """Hear of more samples; one at another offset than the next is noted as no sample."""
        for message in response.samples:
            offset, entry = read_stored(message)
            if isinstance(entry, Rejected):
                found = key_of(entry.sample_id)
                self._expired += [offset] if entry.reason == EXPIRED else []
            else:
                found = key(entry)
            self._keys.append(found if offset == self.at else f"at {offset}")

    def tell(self, whole: bool) -> None:
        """Write what has been seen; a read that follows goes on from there."""
        stop = self.at if self._keys else -1
        said = {"offset": self._start, "limit": self._limit, "keys": tuple(self._keys)}
        said["expired"] = tuple(self._expired)
        self._caller.note("read", self._stream, self._began, next=stop, whole=whole, **said)
        if not whole:
            self._start, self._keys, self._expired = self.at, [], []

    def broke(self, error: Exception | None) -> int:
        """Write what was seen before the call ended."""
        if self._keys:
            self.tell(whole=False)
        if error is not None:
            self._caller.ended(error, "read", self._stream, self._began, offset=self._start)
        return self.at

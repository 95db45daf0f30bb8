"""One call at a time, as raw as the wire lets it be, each with its line in the history.

What is refused in the call or as the status with a reason has had no effect. What ended otherwise
(a connection that broke, a deadline, a fault of the server's own) is unknown: it may have had.
"""

import asyncio
from collections import deque
from dataclasses import dataclass
from typing import Any

import grpc

from rankspace.client.failures import failure
from rankspace.store.entries import Rejected
from rankspace.v1 import ingestion_pb2 as pb
from rankspace.v1.ingestion_pb2_grpc import IngestionServiceStub
from rankspace.wire.ingestion import Filter, read_stored, write_batch, write_filter
from tests.robustness.contents import key, key_of, sample
from tests.robustness.history import Kind, Operation, Recorder, now

PATIENCE_S = 8.0
REFUSALS = frozenset({"FENCED", "STREAM_FINALIZED", "OVERLOADED", "NOT_FOUND", "CORRUPT"})
OPTIONS = (
    ("grpc.use_local_subchannel_pool", 1),  # a connection of one's own, not one of the process
    ("grpc.initial_reconnect_backoff_ms", 50),
    ("grpc.max_reconnect_backoff_ms", 200),
)
EVERYTHING = write_filter(Filter(rejected=True))


class Ended(Exception):
    """The call is over, whatever the reason."""


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

    def ended(self, error: Exception, kind: Kind, stream: str, invoked: int, **said: Any) -> None:
        """Write an operation that ended with an error instead of an answer."""
        reason = "UNREACHABLE"
        if isinstance(error, grpc.aio.AioRpcError):
            reason = failure(error).reason()
        # A batch that was on its way when its call ended may have been stored all the same.
        outcome = "refused" if reason in REFUSALS and kind != "append" else "unknown"
        self.note(kind, stream, invoked, outcome=outcome, reason=reason, **said)

    async def figures(self, kind: Kind, stream: str) -> bool:
        """Look at a stream, or finalize it; whether there was an answer."""
        began, name = now(), f"streams/{stream}"
        try:
            if kind == "finalize":
                request = pb.FinalizeStreamRequest(name=name)
                answer = await self.stub.FinalizeStream(request, timeout=PATIENCE_S)
            else:
                answer = await self.stub.GetStream(
                    pb.GetStreamRequest(name=name), timeout=PATIENCE_S
                )
        except grpc.aio.AioRpcError as error:
            self.ended(error, kind, stream, began)
            return False
        found = answer.stream
        closed = found.state == pb.STREAM_STATE_FINALIZED
        self.note(
            kind, stream, began, next=found.next_offset, finalized=closed, digest=found.digest
        )
        return True

    async def read(
        self, stream: str, offset: int, limit: int = 0, follow_s: float = 0.0
    ) -> tuple[int, bool]:
        """Read, or follow for a while; where it came to and whether to the end."""
        request = pb.ReadSamplesRequest(
            stream=f"streams/{stream}", offset=offset, limit=limit, follow=bool(follow_s)
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

    @property
    def at(self) -> int:
        """Where it has come to."""
        return self._start + len(self._keys)

    def take(self, response: Any) -> None:
        """Hear of more samples; one at another offset than the next is noted as no sample."""
        for message in response.samples:
            offset, entry = read_stored(message)
            there = isinstance(entry, Rejected)
            found = key_of(entry.sample_id) if there else key(entry)  # type: ignore[arg-type]
            self._keys.append(found if offset == self.at else f"at {offset}")

    def tell(self, whole: bool) -> None:
        """Write what has been seen; a read that follows goes on from there."""
        stop = self.at if self._keys else -1
        said = {"offset": self._start, "limit": self._limit, "keys": tuple(self._keys)}
        self._caller.note("read", self._stream, self._began, next=stop, whole=whole, **said)
        if not whole:
            self._start, self._keys = self.at, []

    def broke(self, error: Exception | None) -> int:
        """Write what was seen before the call ended."""
        if self._keys:
            self.tell(whole=False)
        if error is not None:
            self._caller.ended(error, "read", self._stream, self._began, offset=self._start)
        return self.at


@dataclass(frozen=True)
class Batch:
    """A batch on its way."""

    began: int
    offset: int | None
    keys: tuple[str, ...]

    @property
    def said(self) -> dict[str, Any]:
        """What the history says of the request."""
        return {"offset": self.offset, "keys": self.keys}


class Appending:
    """One AppendSamples call: send any number of batches, hear the answers in their order."""

    def __init__(self, caller: Caller, stream: str) -> None:
        self._caller, self._stream = caller, stream
        self._call: Any = caller.stub.AppendSamples(wait_for_ready=False)
        self._sent: deque[Batch] = deque()
        self._epoch = 0

    async def open(self, epoch: int = 0, take_over: bool = False) -> tuple[int, int]:
        """Set up; the next offset and the epoch to write with. Raises Ended."""
        began, claims = now(), bool(epoch or take_over)
        kind: Kind = "claim" if claims else "look"
        setup = pb.AppendSetup(
            stream=f"streams/{self._stream}", writer_epoch=epoch, take_over=take_over
        )
        try:
            async with asyncio.timeout(PATIENCE_S):
                await self._call.write(pb.AppendSamplesRequest(setup=setup))
                answer = await self._call.read()
        except (grpc.aio.AioRpcError, asyncio.InvalidStateError, TimeoutError) as error:
            self._caller.ended(error, kind, self._stream, began, asked=epoch)
            raise Ended from error
        if answer is grpc.aio.EOF:
            self._caller.ended(await self._why(), kind, self._stream, began, asked=epoch)
            raise Ended
        ack = answer.setup_ack
        if claims:
            self._epoch = ack.writer_epoch
            said = {"epoch": ack.writer_epoch, "asked": epoch, "next": ack.next_offset}
            self._caller.note("claim", self._stream, began, **said)
        return ack.next_offset, ack.writer_epoch if claims else 0

    async def send(self, offset: int | None, names: list[str]) -> None:
        """Send a batch. Raises Ended."""
        batch = Batch(now(), offset, tuple(map(key_of, names)))
        self._sent.append(batch)
        try:
            async with asyncio.timeout(PATIENCE_S):
                message = write_batch(map(sample, names), offset)
                await self._call.write(pb.AppendSamplesRequest(batch=message))
        except (grpc.aio.AioRpcError, asyncio.InvalidStateError, TimeoutError) as error:
            raise Ended from error

    async def hear(self) -> int:
        """Hear the answer to the oldest batch; the next offset it tells. Raises Ended."""
        answer: Any = None
        while answer is None or answer.WhichOneof("response") in ("credits", "go_away"):
            try:
                async with asyncio.timeout(PATIENCE_S):
                    answer = await self._call.read()
            except (grpc.aio.AioRpcError, asyncio.InvalidStateError, TimeoutError) as error:
                raise Ended from error
            if answer is grpc.aio.EOF:
                raise Ended
        batch, told = self._sent.popleft(), {"epoch": self._epoch, "next": answer.next_offset}
        if answer.HasField("error"):
            known = "unknown" if answer.error.reason == "UNREACHABLE" else "refused"
            told |= {"outcome": known, "reason": answer.error.reason}
        else:
            result = answer.result
            told |= {"first": result.offset, "duplicate": result.duplicate}
        self._caller.note("append", self._stream, batch.began, **batch.said, **told)
        return answer.next_offset

    async def close(self) -> None:
        """Hang up; what was not answered is unknown."""
        for batch in self._sent:
            why = await self._why() if self._call.done() else TimeoutError()
            self._caller.ended(
                why, "append", self._stream, batch.began, epoch=self._epoch, **batch.said
            )
        self._sent.clear()
        self._call.cancel()

    async def _why(self) -> Exception:
        """What the call ended with."""
        code, details = await self._call.code(), await self._call.details()
        trailing = await self._call.trailing_metadata()
        return grpc.aio.AioRpcError(code, grpc.aio.Metadata(), trailing, details)

"""One AppendSamples call: batches, and pieces of media that grow, as raw as the wire lets them be.

What was sent over calls with offsets is remembered, so that an echo of it may come later.
"""

import asyncio
import hashlib
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import grpc

from rankspace.media.sample import Part
from rankspace.store.growing import Begin, Chunk, End, Head, Step
from rankspace.v1 import ingestion_pb2 as pb
from rankspace.v1 import media_pb2
from rankspace.wire.growing import write_step
from rankspace.wire.ingestion import write_batch
from tests.robustness.calls import ERA, PATIENCE_S, Caller, Ended, wire_name
from tests.robustness.contents import SOUNDING, key_of, sample
from tests.robustness.history import Kind, now

WORDS = {pb.DURABILITY_SYNCED: "synced", pb.DURABILITY_WRITTEN: "written"}


@dataclass(frozen=True)
class Sent:
    """A message on its way, and what the history says of it."""

    kind: Kind
    began: int
    said: dict[str, Any]


def sound(name: str) -> bytes:
    """The bytes that grow of a sample."""
    assert name[-1] in SOUNDING
    return sample(name).parts[-1].data


def begin(name: str) -> Begin:
    """How the sound of a sample begins."""
    part: Part = sample(name).parts[-1]
    return Begin(name, Head(part.modality, part.encoding, part.role, part.rate_hz, part.channels))


def end(name: str) -> End:
    """How the sound of a sample ends."""
    return End(name, len(sound(name)), hashlib.sha256(sound(name)).digest())


class Appending:
    """Send any number of messages, hear the answers in their order."""

    def __init__(self, caller: Caller, stream: str, durability: int = 0) -> None:
        self._caller, self._stream, self._durability = caller, stream, durability
        self._call: Any = caller.stub.AppendSamples(wait_for_ready=False)
        self._sent: deque[Sent] = deque()
        self._epoch = 0
        self.media: dict[str, int] = {}
        """How far each growing medium had come when the call was set up."""

    async def open(self, epoch: int = 0, take_over: bool = False) -> tuple[int, int]:
        """Set up; the next offset and the epoch to write with. Raises Ended."""
        began, claims = now(), bool(epoch or take_over)
        kind: Kind = "claim" if claims else "look"
        setup = pb.AppendSetup(
            stream=wire_name(self._stream),
            writer_epoch=epoch,
            take_over=take_over,
            durability=self._durability,  # type: ignore[arg-type]
        )
        try:
            with self._caller.unheard(kind, self._stream, began, asked=epoch):
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
        self.media = {one.media_id: one.position for one in ack.media}
        told = tuple(self.media.values())
        self._caller.note("media", self._stream, began, media=tuple(self.media), told=told)
        return ack.next_offset, ack.writer_epoch if claims else 0

    async def send(
        self, offset: int | None, names: Sequence[str], grown: Sequence[str] = ()
    ) -> None:
        """Send a batch; the sounds of the samples in `grown` were sent before. Raises Ended."""
        message = write_batch(map(sample, names), offset)
        for at, name in enumerate(names):
            if name in grown:
                named = media_pb2.Part(growing=media_pb2.GrowingMedia(media_id=name))
                message.samples[at].parts[-1].CopyFrom(named)
                message.content_blake3 = b""
        said = {"offset": offset, "keys": tuple(map(key_of, names)), "media": tuple(grown)}
        if offset is not None and not grown and ERA not in self._stream:
            self._caller.recorder.remember(self._stream, self._epoch, offset, names)
        await self._write("append", pb.AppendSamplesRequest(batch=message), said)

    async def grow(self, step: Step, other: bool = False) -> None:
        """Send a piece; `other`: its bytes are not those of the medium. Raises Ended."""
        said: dict[str, Any] = {"media": (step.media_id,), "step": type(step).__name__.lower()}
        if isinstance(step, Chunk):
            said |= {"position": step.position, "size": len(step.data)}
            said |= {"step": "other"} if other else {}
        if isinstance(step, End):
            said |= {"size": step.size}
        await self._write("piece", pb.AppendSamplesRequest(piece=write_step(step)), said)

    async def _write(self, kind: Kind, request: Any, said: dict[str, Any]) -> None:
        self._sent.append(Sent(kind, now(), said))
        try:
            async with asyncio.timeout(PATIENCE_S):
                await self._call.write(request)
        except (grpc.aio.AioRpcError, asyncio.InvalidStateError, TimeoutError) as error:
            raise Ended from error

    async def hear(self) -> int:
        """Hear the answer to the oldest message. Raises Ended.

        To a batch it is the next offset, to a piece how far its medium has come, -1 if it is gone.
        """
        answer: Any = None
        while answer is None or answer.WhichOneof("response") in ("credits", "go_away"):
            try:
                async with asyncio.timeout(PATIENCE_S):
                    answer = await self._call.read()
            except (grpc.aio.AioRpcError, asyncio.InvalidStateError, TimeoutError) as error:
                raise Ended from error
            if answer is grpc.aio.EOF:
                raise Ended
        sent = self._sent.popleft()
        told: dict[str, Any] = {"epoch": self._epoch}
        if answer.HasField("error"):
            known = "unknown" if answer.error.reason == "UNREACHABLE" else "refused"
            told |= {"outcome": known, "reason": answer.error.reason}
        heard = _of_batch(answer) if sent.kind == "append" else _of_piece(answer)
        self._caller.note(sent.kind, self._stream, sent.began, **sent.said | told | heard)
        return heard["next"] if sent.kind == "append" else [*heard["told"], -1][0]

    async def close(self) -> None:
        """Hang up; what was not answered is unknown."""
        for sent in self._sent:
            why = await self._why() if self._call.done() else TimeoutError()
            said = {"epoch": self._epoch, **sent.said}
            self._caller.ended(why, sent.kind, self._stream, sent.began, **said)
        self._sent.clear()
        self._call.cancel()

    async def _why(self) -> Exception:
        """What the call ended with."""
        code, details = await self._call.code(), await self._call.details()
        trailing = await self._call.trailing_metadata()
        return grpc.aio.AioRpcError(code, grpc.aio.Metadata(), trailing, details)


def _of_batch(answer: Any) -> dict[str, Any]:
    """What the answer to a batch says."""
    heard: dict[str, Any] = {"next": answer.next_offset}
    if answer.HasField("result"):
        result = answer.result
        heard |= {"first": result.offset, "duplicate": result.duplicate}
        heard["refused"] = tuple(error.offset for error in result.sample_errors)
        heard["durability"] = WORDS[result.durability]
    return heard


def _of_piece(answer: Any) -> dict[str, Any]:
    """What the answer to a piece says."""
    if answer.HasField("piece"):
        state = answer.piece
        return {"told": (state.position,), "duplicate": state.duplicate}
    position = dict(answer.error.metadata).get("expected_position")
    return {"told": () if position is None else (int(position),)}

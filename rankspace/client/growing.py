"""Media that grow while they are sent: recordings that are still going on, files too large to hold.

    Growing("audio", source=microphone(), encoding="pcm_s16le", rate_hz=16_000, channels=1)
    Growing("video", source=Path("lecture.webm"))

A growing part stands in a sample like any other part. Its bytes go out as they come, in chunks; the
sample itself goes when all of its parts have ended. Parts of one sample grow at the same time.
"""

import asyncio
import hashlib
from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator, Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from rankspace.errors import InvalidInput
from rankspace.media.sample import Part, Sample
from rankspace.store.growing import Begin, Chunk, End, Head, Step
from rankspace.v1 import media_pb2
from rankspace.wire.growing import write_step
from rankspace.wire.media import write_part, write_sample

CHUNK_BYTES = 256 << 10
"""Bytes of a chunk at most."""

GROWS_FROM = 8 << 20
"""A part with more bytes goes in chunks whatever it is: it might not fit into a message."""

Source = Iterable[bytes] | AsyncIterable[bytes] | Path


@dataclass(frozen=True, slots=True, kw_only=True)
class Growing(Part):
    """A part whose bytes come from `source` while it is sent; `data` stays empty."""

    source: Source
    """Pieces of any size, or a file."""

    event_time_us: int = 0
    """When it began, in microseconds since the Unix epoch; 0: unknown. Where the sample has no
    event time it takes the earliest of these, and each part starts at its distance from it."""

    def __post_init__(self) -> None:
        if self.data or self.frames:
            raise InvalidInput("a growing part takes its bytes from `source` only", "data")


def grows(sample: Sample) -> bool:
    """Whether a part of it goes piece by piece."""
    return any(map(_grows, sample.parts))


def waits(sample: Sample) -> bool:
    """Whether a part of it has to be awaited."""
    return any(
        isinstance(part, Growing) and isinstance(part.source, AsyncIterable)
        for part in sample.parts
    )


def named(sample: Sample, prefix: str) -> media_pb2.Sample:
    """The sample on the wire, naming its media by a prefix and their place."""
    message = write_sample(replace(sample, parts=()))
    for at, part in enumerate(sample.parts):
        if _grows(part):
            grown = media_pb2.GrowingMedia(media_id=f"{prefix}-{at}")
            message.parts.add(role=part.role, growing=grown, start_us=part.start_us)
        else:
            message.parts.append(write_part(part))
    return message


def pieces(sample: Sample, prefix: str) -> Iterator[media_pb2.MediaPiece]:
    """The pieces of all parts that grow, in turns; nothing is awaited."""
    turns = [_steps(part, media_id) for media_id, part in _growing(sample, prefix)]
    while turns:
        for turn in list(turns):
            step = next(turn, None)
            if step is None:
                turns.remove(turn)
            else:
                yield write_step(step)


async def awaited(sample: Sample, prefix: str) -> AsyncGenerator[media_pb2.MediaPiece, None]:
    """The pieces of all parts that grow, as they come."""
    turns = {
        _next(steps): steps
        for steps in [_steps_awaited(part, name) for name, part in _growing(sample, prefix)]
    }
    try:
        while turns:
            await asyncio.wait(turns, return_when=asyncio.FIRST_COMPLETED)
            for coming in [turn for turn in turns if turn.done()]:
                steps = turns.pop(coming)
                if (step := coming.result()) is not None:
                    turns[_next(steps)] = steps
                    yield write_step(step)
    finally:
        for coming in turns:
            coming.cancel()
        await asyncio.gather(*turns, return_exceptions=True)


class _Medium:
    """The steps of one medium, and what has gone so far."""

    def __init__(self, part: Part, media_id: str) -> None:
        time_us = part.event_time_us if isinstance(part, Growing) else 0
        head = Head(part.modality, part.encoding, part.role, part.rate_hz, part.channels, time_us)
        self._id = media_id
        self._position = 0
        self._hasher = hashlib.sha256()
        self.begin = Begin(media_id, head)

    def chunks(self, data: bytes) -> Iterator[Chunk]:
        """The next bytes, cut to size."""
        for at in range(0, len(data), CHUNK_BYTES):
            chunk = bytes(data[at : at + CHUNK_BYTES])
            self._hasher.update(chunk)
            yield Chunk(self._id, self._position, chunk)
            self._position += len(chunk)

    def end(self) -> End:
        """What there was of it."""
        return End(self._id, self._position, self._hasher.digest())


def _steps(part: Part, media_id: str) -> Iterator[Step]:
    medium = _Medium(part, media_id)
    yield medium.begin
    for data in _pieces(part):
        yield from medium.chunks(data)
    yield medium.end()


async def _steps_awaited(part: Part, media_id: str) -> AsyncIterator[Step]:
    medium = _Medium(part, media_id)
    yield medium.begin
    if isinstance(part, Growing) and isinstance(part.source, AsyncIterable):
        async for data in part.source:
            for chunk in medium.chunks(data):
                yield chunk
    else:
        for data in _pieces(part):
            for chunk in medium.chunks(data):
                yield chunk
    yield medium.end()


def _next(steps: AsyncIterator[Step]) -> "asyncio.Future[Step | None]":
    return asyncio.ensure_future(anext(steps, None))


def _pieces(part: Part) -> Iterator[bytes]:
    if not isinstance(part, Growing):
        yield part.data
    elif isinstance(part.source, Path):
        with part.source.open("rb") as file:
            while data := file.read(CHUNK_BYTES):
                yield data
    elif isinstance(part.source, Iterable):
        yield from part.source


def _growing(sample: Sample, prefix: str) -> Iterator[tuple[str, Part]]:
    return ((f"{prefix}-{at}", part) for at, part in enumerate(sample.parts) if _grows(part))


def _grows(part: Part) -> bool:
    return isinstance(part, Growing) or len(part.data) >= GROWS_FROM

"""Samples on their way from whoever makes them to the connection that sends them, bounded in bytes.

What waits is sent as soon as the connection is free, so a slow source is not held back until a
batch is full, and a fast one fills its batches.
"""

import asyncio
import secrets
from collections import deque
from collections.abc import AsyncIterable, Iterable, Iterator
from contextlib import aclosing

from rankspace.client.growing import awaited, grows, named, pieces
from rankspace.errors import LimitExceeded
from rankspace.media.sample import Sample
from rankspace.v1 import media_pb2
from rankspace.wire.media import write_sample

Source = Iterable[Sample] | AsyncIterable[Sample]
Message = media_pb2.Sample | media_pb2.MediaPiece

FEED_BYTES = 4 << 20
"""What waits unsent at most, besides one sample."""


class Feed:
    """A queue of samples and pieces of growing media, each in its form on the wire."""

    def __init__(self, offset: int | None = None) -> None:
        """Begin empty.

        `offset`: where the first sample lands. Its media then have the same names every time, so
        that an input that is given again goes on where it was.
        """
        self._waiting: deque[Message] = deque()
        self._bytes = 0
        self._changed = asyncio.Condition()
        self._ended = False
        self._error: BaseException | None = None
        self._names = f"at-{offset}" if offset is not None else secrets.token_hex(8)
        self._samples = 0

    async def put(self, sample: Sample) -> None:
        """Add a sample, and before it the media that grow in it, once there is room."""
        if not grows(sample):
            await self.add(write_sample(sample))
            return
        prefix = self.prefix()
        async with aclosing(awaited(sample, prefix)) as coming:
            async for piece in coming:
                await self.add(piece)
        await self.add(named(sample, prefix))

    def put_each(self, sample: Sample) -> Iterator[Message]:
        """The same for who waits elsewhere: what to `add`, one by one."""
        if not grows(sample):
            yield write_sample(sample)
            return
        prefix = self.prefix()
        yield from pieces(sample, prefix)
        yield named(sample, prefix)

    def prefix(self) -> str:
        """What the names of the next sample's media begin with."""
        self._samples += 1
        return f"{self._names}-{self._samples}"

    async def add(self, message: Message) -> None:
        """Add a message, once there is room."""
        async with self._changed:
            await self._changed.wait_for(lambda: self._bytes < FEED_BYTES)
            self._waiting.append(message)
            self._bytes += message.ByteSize()
            self._changed.notify_all()

    async def take(self, samples_max: int, bytes_max: int, part: int) -> list[Message]:
        """What waits, up to about `part` bytes, once there is something; nothing at the end.

        Samples come together, a piece comes alone.
        """
        async with self._changed:
            await self._changed.wait_for(lambda: self._waiting or self._ended)
            if not self._waiting and self._error is not None:
                raise self._error
            taken = self._cut(samples_max, bytes_max, part)
            self._bytes -= sum(message.ByteSize() for message in taken)
            self._changed.notify_all()
        return taken

    def _cut(self, samples_max: int, bytes_max: int, part: int) -> list[Message]:
        taken: list[Message] = []
        size = 0
        while self._waiting and len(taken) < samples_max:
            first = self._waiting[0]
            if isinstance(first, media_pb2.MediaPiece):
                return taken or [self._waiting.popleft()]
            if (more := first.ByteSize()) > bytes_max:
                raise LimitExceeded(
                    f"sample {first.sample_id} has {more} bytes, the server takes messages of "
                    f"{bytes_max}; make it smaller"
                )
            if taken and size + more > part:
                break
            size += more
            taken.append(self._waiting.popleft())
        return taken

    async def end(self, error: BaseException | None = None) -> None:
        """Nothing follows; `error` is raised after what waits."""
        async with self._changed:
            self._ended, self._error = True, error
            self._changed.notify_all()

    async def pour(self, source: Source) -> None:
        """Put a whole source; its own error ends the feed."""
        error: BaseException | None = None
        try:
            if isinstance(source, AsyncIterable):
                async for sample in source:
                    await self.put(sample)
            else:
                for sample in source:
                    await self.put(sample)
        except BaseException as caught:
            error = caught
            raise
        finally:
            await self.end(error)

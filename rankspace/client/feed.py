"""Samples on their way from whoever makes them to the connection that sends them, bounded in bytes.

What waits is sent as soon as the connection is free, so a slow source is not held back until a
batch is full, and a fast one fills its batches.
"""

import asyncio
from collections import deque
from collections.abc import AsyncIterable, Iterable

from rankspace.errors import LimitExceeded
from rankspace.media.sample import Sample
from rankspace.v1 import media_pb2
from rankspace.wire.media import write_sample

Source = Iterable[Sample] | AsyncIterable[Sample]

FEED_BYTES = 4 << 20
"""What waits unsent at most, besides one sample."""


class Feed:
    """A queue of samples, each in its form on the wire."""

    def __init__(self) -> None:
        self._waiting: deque[media_pb2.Sample] = deque()
        self._bytes = 0
        self._changed = asyncio.Condition()
        self._ended = False
        self._error: BaseException | None = None

    async def put(self, sample: Sample) -> None:
        """Add a sample, once there is room."""
        message = write_sample(sample)
        async with self._changed:
            await self._changed.wait_for(lambda: self._bytes < FEED_BYTES)
            self._waiting.append(message)
            self._bytes += message.ByteSize()
            self._changed.notify_all()

    async def take(self, samples_max: int, bytes_max: int, part: int) -> list[media_pb2.Sample]:
        """What waits, up to about `part` bytes, once there is something; nothing at the end."""
        taken: list[media_pb2.Sample] = []
        size = 0
        async with self._changed:
            await self._changed.wait_for(lambda: self._waiting or self._ended)
            if not self._waiting and self._error is not None:
                raise self._error
            while self._waiting and len(taken) < samples_max:
                more = self._waiting[0].ByteSize()
                if more > bytes_max:
                    raise LimitExceeded(
                        f"sample {self._waiting[0].sample_id} has {more} bytes, "
                        f"the server takes messages of {bytes_max}; make it smaller"
                    )
                if taken and size + more > part:
                    break
                size += more
                taken.append(self._waiting.popleft())
            self._bytes -= size
            self._changed.notify_all()
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

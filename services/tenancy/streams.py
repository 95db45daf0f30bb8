"""Streams, as the caller of each call may see them."""

from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import aclosing

from rankspace.errors import RankspaceError
from rankspace.media.sample import Sample
from rankspace.store.drafts import Laid
from rankspace.store.entries import (
    FOR_EVER,
    Appended,
    Durability,
    Page,
    Refusal,
    Rejected,
    Retention,
    Stream,
    StreamChange,
)
from rankspace.store.growing import Grown, Medium, Step
from services.engine import Engine, Window
from services.quotas import Quotas
from services.tenancy.names import own_names


class TenantStreams:
    """See `services.engine.Streams`."""

    def __init__(self, engine: Engine, quotas: Quotas) -> None:
        self._engine = engine
        self._quotas = quotas

    @property
    def inline_bytes_max(self) -> int:
        return self._engine.inline_bytes_max

    async def create_stream(
        self,
        name: str,
        labels: Mapping[str, str],
        description: str,
        retention: Retention = FOR_EVER,
        strip_metadata: bool = False,
    ) -> Stream:
        with own_names() as own:
            full = own.full(name)
            async with self._quotas.opening():
                made = await self._engine.create_stream(
                    full, labels, description, retention, strip_metadata
                )
                return own.stream(made)

    async def update_stream(self, name: str, change: StreamChange) -> Stream:
        with own_names() as own:
            return own.stream(await self._engine.update_stream(own.full(name), change))

    async def stream(self, name: str) -> Stream:
        with own_names() as own:
            return own.stream(await self._engine.stream(own.full(name)))

    async def streams(self, size: int, token: str) -> Page[Stream]:
        with own_names() as own:
            page = await own.page(self._engine.streams, size, token)
            return Page(tuple(map(own.stream, page.items)), page.next_token)

    async def finalize_stream(self, name: str) -> Stream:
        with own_names() as own:
            return own.stream(await self._engine.finalize_stream(own.full(name)))

    async def delete_stream(self, name: str) -> None:
        with own_names() as own:
            await self._engine.delete_stream(own.full(name))

    async def claim(self, name: str, epoch: int) -> int:
        with own_names() as own:
            return await self._engine.claim(own.full(name), epoch)

    async def append(
        self,
        stream: str,
        offset: int | None,
        samples: Sequence[Sample | Rejected] | Laid,
        epoch: int,
        durability: Durability = "synced",
    ) -> Appended:
        with own_names() as own:
            return await self._engine.append(own.full(stream), offset, samples, epoch, durability)

    async def read(
        self, stream: str, window: Window
    ) -> AsyncGenerator[tuple[int, Sample | Rejected], None]:
        with own_names() as own:
            async with aclosing(self._engine.read(own.full(stream), window)) as found:
                async for entry in found:
                    yield entry

    async def grow(
        self, stream: str, steps: Sequence[Step], epoch: int, durability: Durability
    ) -> Sequence[Grown | RankspaceError]:
        with own_names() as own:
            return await self._engine.grow(own.full(stream), steps, epoch, durability)

    async def growing(self, stream: str) -> Sequence[Grown]:
        with own_names() as own:
            return await self._engine.growing(own.full(stream))

    async def grown(
        self, stream: str, media_ids: Sequence[str], bytes_max: int
    ) -> Mapping[str, Medium]:
        with own_names() as own:
            return await self._engine.grown(own.full(stream), media_ids, bytes_max)

    async def take_grown(self, stream: str, media_ids: Sequence[str]) -> None:
        with own_names() as own:
            await self._engine.take_grown(own.full(stream), media_ids)

    async def keep_rejects(self, stream: str, refused: Sequence[Refusal]) -> None:
        with own_names() as own:
            await self._engine.keep_rejects(own.full(stream), refused)

    async def rejects(self, stream: str, size: int, token: str) -> Page[Refusal]:
        with own_names() as own:
            return await self._engine.rejects(own.full(stream), size, token)

    async def reject(self, stream: str, offset: int) -> Refusal:
        with own_names() as own:
            return await self._engine.reject(own.full(stream), offset)

    async def drop_reject(self, stream: str, offset: int) -> None:
        with own_names() as own:
            await self._engine.drop_reject(own.full(stream), offset)

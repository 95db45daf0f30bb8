"""The rest of ingestion: media that grow, refused samples that are kept, whether any is stored."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import TypeVar

from rankspace.errors import RankspaceError
from rankspace.store.entries import Durability, Page, Refusal
from rankspace.store.growing import Grown, Medium, Step
from rankspace.store.store import Store

Found = TypeVar("Found")


class Ingesting:
    """Each call is handed to the room of the store that answers it, in a thread."""

    _store: Store

    async def _with(self, task: Callable[[], Found]) -> Found:
        return await asyncio.to_thread(task)

    def stopped(self) -> str:
        return self._store.stopped

    async def grow(
        self, stream: str, steps: Sequence[Step], epoch: int, durability: Durability
    ) -> Sequence[Grown | RankspaceError]:
        synced = durability == "synced"
        return await self._with(lambda: self._store.pieces.grow(stream, steps, epoch, synced))

    async def growing(self, stream: str) -> Sequence[Grown]:
        return await self._with(lambda: self._store.pieces.open(stream))

    async def grown(
        self, stream: str, media_ids: Sequence[str], bytes_max: int
    ) -> Mapping[str, Medium]:
        return await self._with(lambda: self._store.pieces.whole(stream, media_ids, bytes_max))

    async def take_grown(self, stream: str, media_ids: Sequence[str]) -> None:
        await self._with(lambda: self._store.pieces.take(stream, media_ids))

    async def keep_rejects(self, stream: str, refused: Sequence[Refusal]) -> None:
        await self._with(lambda: self._store.rejects.keep(stream, refused))

    async def rejects(self, stream: str, size: int, token: str) -> Page[Refusal]:
        return await self._with(lambda: self._store.rejects.list(stream, size, token))

    async def reject(self, stream: str, offset: int) -> Refusal:
        return await self._with(lambda: self._store.rejects.get(stream, offset))

    async def drop_reject(self, stream: str, offset: int) -> None:
        await self._with(lambda: self._store.rejects.drop(stream, offset))

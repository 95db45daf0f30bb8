"""What a batch goes through: it is read, judged, appended, and answered.

A plain one comes read and laid out (`rankspace.wire.intake`), and only its media are looked into.
Whatever is found there, or is not as plain as it looked, goes the way of all others.
"""

from collections.abc import Mapping

from rankspace.errors import RankspaceError
from rankspace.store.growing import Medium
from rankspace.v1 import ingestion_pb2 as pb
from rankspace.wire import growing as wire_growing
from rankspace.wire import ingestion as wire
from services.auth import caller
from services.engine import Streams
from services.ingestion.admission import Admitted, glanced, judge, kept, read
from services.ingestion.answering import A_BATCH, behind, placed, write_result
from services.ingestion.config import IngestionConfig
from services.ingestion.room import Item, Room, Writer
from services.telemetry import appends, tracing


class Batches:
    """The batches of one call."""

    def __init__(
        self, engine: Streams, config: IngestionConfig, room: Room, writer: Writer
    ) -> None:
        self._engine = engine
        self._config = config
        self._room = room
        self._writer = writer

    async def admit(self, item: Item, grown: Mapping[str, Medium] | None = None) -> Admitted | None:
        """Judge a batch; None if it names growing media that are not given."""
        room, tenant = self._room, caller().tenant
        with tracing.step("admit", samples=item.samples):
            if item.plain is not None and not self._writer.strip:
                await self._spend(item)
                if admitted := await glanced(item.plain, room.sandbox, tenant):
                    return admitted
                found = await read(item.message().batch, self._config, room.desk)
            else:
                found = await read(item.message().batch, self._config, room.desk, grown)
                if grown is None and found.grows:
                    return None
                await self._spend(item)
            return await judge(found, room.sandbox, tenant=tenant, strip=self._writer.strip)

    async def _spend(self, item: Item) -> None:
        await self._room.quotas.spend(self._writer.stream, item.samples, lambda: item.size)

    async def append(self, item: Item, admitted: Admitted) -> pb.AppendSamplesResponse:
        """The one place where samples are appended."""
        writer = self._writer
        if admitted.plain is not None:
            offset = admitted.plain.offset
        else:
            offset = wire.read_offset(item.message().batch)
        with tracing.step("commit", samples=item.samples):
            appended = await self._engine.append(
                writer.stream, offset, admitted.what, writer.epoch, writer.durability
            )
        if admitted.refusals and writer.keep_rejects:
            refused = kept(item.message().batch, admitted, appended.first)
            with behind(A_BATCH):
                await self._engine.keep_rejects(writer.stream, refused)
        told = admitted.refusals.values()
        appends.stored(caller().tenant, appended, admitted.samples, admitted.bytes, told)
        ids = item.message().batch.samples if admitted.refusals else ()
        return write_result(appended, offset, ids, admitted.refusals)

    async def append_grown(self, item: Item) -> pb.AppendSamplesResponse:
        """A batch that names growing media: they are read back whole, a few batches at a time."""
        places = list(wire_growing.named(item.message().batch))
        media_ids = [media_id for media_id, _ in places]
        stream, size = self._writer.stream, self._config.growing_bytes_max
        async with self._room.grown:
            try:
                grown = await self._engine.grown(stream, media_ids, size)
            except RankspaceError as error:
                raise placed(error, places) from error
            admitted = await self.admit(item, grown)
            assert admitted is not None  # noqa: S101 - nothing it names is missing
            response = await self.append(item, admitted)
        with behind(A_BATCH):
            await self._engine.take_grown(stream, media_ids)
        return response

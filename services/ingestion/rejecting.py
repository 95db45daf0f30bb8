"""Refused samples that were kept: listed, shown as they came, tried again."""

from rankspace.errors import InvalidInput, RankspaceError
from rankspace.media.sample import Sample
from rankspace.store.entries import Refusal
from rankspace.v1 import ingestion_pb2 as pb
from rankspace.v1 import media_pb2
from rankspace.wire.ingestion import write_reject
from rankspace.wire.names import read_name, read_page
from rankspace.wire.problems import BY_REASON
from services.auth import caller
from services.engine import Streams
from services.errors import problem
from services.ingestion.admission import judge, read
from services.ingestion.config import IngestionConfig
from services.ingestion.room import Room


class Rejecting:
    """The calls about refused samples."""

    def __init__(self, engine: Streams, config: IngestionConfig, room: Room) -> None:
        self._engine = engine
        self._config = config
        self._room = room

    async def listed(self, request: pb.ListRejectsRequest) -> pb.ListRejectsResponse:
        """A page of them."""
        name = read_name("streams", request.stream, "stream")
        page = await self._engine.rejects(name, *read_page(request))
        return pb.ListRejectsResponse(
            rejects=map(_write, page.items), next_page_token=page.next_token
        )

    async def shown(self, request: pb.GetRejectRequest) -> pb.GetRejectResponse:
        """One of them, as it came."""
        kept = await self._kept(request)
        sample = media_pb2.Sample.FromString(kept.raw)
        return pb.GetRejectResponse(reject=_write(kept), sample=sample)

    async def retried(self, request: pb.RetryRejectRequest) -> pb.RetryRejectResponse:
        """Append one of them at the end, if it is good by now."""
        kept = await self._kept(request)
        batch = pb.SampleBatch(samples=[media_pb2.Sample.FromString(kept.raw)])
        found = await read(batch, self._config, self._room.desk)
        admitted = await judge(found, self._room.sandbox, tenant=caller().tenant)
        for error in admitted.refusals.values():
            raise error
        name = read_name("streams", request.stream, "stream")
        samples = [entry for entry in admitted.entries if isinstance(entry, Sample)]
        appended = await self._engine.append(name, None, samples, 0)
        await self._engine.drop_reject(name, request.offset)
        return pb.RetryRejectResponse(offset=appended.first)

    async def _kept(self, request: pb.GetRejectRequest | pb.RetryRejectRequest) -> Refusal:
        if request.offset < 0:
            raise InvalidInput("an offset is 0 or more", "offset")
        name = read_name("streams", request.stream, "stream")
        return await self._engine.reject(name, request.offset)


def _write(reject: Refusal) -> pb.Reject:
    kind = BY_REASON.get(reject.reason, RankspaceError)
    return write_reject(reject, problem(kind("")).code)

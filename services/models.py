"""ModelService: read the wire, ask the engine, write the wire."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

from grpc.aio import ServicerContext

from rankspace.errors import Corrupt, InvalidInput
from rankspace.store.entries import ModelVersion
from rankspace.store.models import check_here
from rankspace.v1 import models_pb2 as pb
from rankspace.v1 import models_pb2_grpc as pb_grpc
from rankspace.wire.models import write_alias, write_model
from rankspace.wire.names import read_name, read_page, read_reference, read_version
from services.engine import Models as Registry

Context = ServicerContext[Any, Any]
CHUNK = 1 << 20
ALL = "models/-"


class Models(pb_grpc.ModelServiceServicer):
    """Versions and aliases."""

    def __init__(self, engine: Registry) -> None:
        self._engine = engine

    async def GetModelVersion(
        self, request: pb.GetModelVersionRequest, _context: Context
    ) -> pb.GetModelVersionResponse:
        model = await self._engine.model(read_reference(request.name))
        return pb.GetModelVersionResponse(model_version=await _written(model))

    async def ListModelVersions(
        self, request: pb.ListModelVersionsRequest, _context: Context
    ) -> pb.ListModelVersionsResponse:
        size, token = read_page(request)
        if request.parent == ALL:
            page = await self._engine.models(size, token)
        else:
            name = read_name("models", request.parent, "parent")
            page = await self._engine.versions(name, size, token)
        versions = [await _written(model) for model in page.items]
        return pb.ListModelVersionsResponse(
            model_versions=versions, next_page_token=page.next_token
        )

    async def GetAlias(self, request: pb.GetAliasRequest, _context: Context) -> pb.GetAliasResponse:
        alias = await self._engine.alias(read_name("aliases", request.name))
        return pb.GetAliasResponse(alias=write_alias(alias))

    async def ListAliases(
        self, request: pb.ListAliasesRequest, _context: Context
    ) -> pb.ListAliasesResponse:
        page = await self._engine.aliases(*read_page(request))
        aliases = map(write_alias, page.items)
        return pb.ListAliasesResponse(aliases=aliases, next_page_token=page.next_token)

    async def PromoteAlias(
        self, request: pb.PromoteAliasRequest, _context: Context
    ) -> pb.PromoteAliasResponse:
        version = read_version(request.model_version)
        if not version:
            raise InvalidInput("name the version to point at", "model_version")
        alias = await self._engine.promote(read_name("aliases", request.name), version)
        return pb.PromoteAliasResponse(alias=write_alias(alias))

    async def RollBackAlias(
        self, request: pb.RollBackAliasRequest, _context: Context
    ) -> pb.RollBackAliasResponse:
        alias = await self._engine.roll_back(read_name("aliases", request.name))
        return pb.RollBackAliasResponse(alias=write_alias(alias))

    async def ExportModelVersion(
        self, request: pb.ExportModelVersionRequest, _context: Context
    ) -> AsyncIterator[pb.ExportModelVersionResponse]:
        model = await self._engine.model(read_reference(request.name))
        await asyncio.to_thread(check_here, model)
        yield pb.ExportModelVersionResponse(model_version=await _written(model))
        for path in sorted(model.files):
            async for chunk in _chunks(path, model.folder / path):
                yield pb.ExportModelVersionResponse(chunk=chunk)


async def _written(model: ModelVersion) -> pb.ModelVersion:
    return write_model(model, await asyncio.to_thread(_sizes, model))


def _sizes(model: ModelVersion) -> dict[str, int]:
    if not model.folder.is_dir():  # another server has it
        return {}
    try:
        return {path: (model.folder / path).stat().st_size for path in model.files}
    except OSError as error:
        raise Corrupt(f"model {model.reference} has lost a file") from error


async def _chunks(path: str, file: Path) -> AsyncIterator[pb.FileChunk]:
    """The bytes of a file in order; one empty chunk if it has none."""
    offset = 0
    with await asyncio.to_thread(file.open, "rb") as opened:
        while (data := await asyncio.to_thread(opened.read, CHUNK)) or not offset:
            yield pb.FileChunk(path=path, offset=offset, data=data)
            offset += len(data)
            if not data:
                return

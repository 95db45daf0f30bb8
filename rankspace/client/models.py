"""Models: their versions, the aliases they are served under, and their files."""

import asyncio
import hashlib
from collections.abc import AsyncIterator
from pathlib import Path, PurePosixPath

from rankspace.client.connection import Connection
from rankspace.errors import AlreadyExists, Corrupt, NotFound
from rankspace.store.entries import Alias, ModelVersion
from rankspace.v1 import models_pb2 as pb
from rankspace.v1.models_pb2_grpc import ModelServiceStub
from rankspace.wire.models import read_alias, read_model
from rankspace.wire.names import write_reference


class Models:
    """The calls of ModelService. A version is written name@number."""

    _connection: Connection

    async def get_model_version(self, reference: str) -> ModelVersion:
        """What an alias, a name (its newest version) or name@version means now."""
        try:
            request = pb.GetModelVersionRequest(name=_resource(reference))
            response = await self._connection.call(
                ModelServiceStub(self._connection.channel).GetModelVersion, request
            )
        except NotFound:
            if "@" in reference:
                raise
            request = pb.GetModelVersionRequest(name=f"models/{reference}")
            response = await self._connection.call(
                ModelServiceStub(self._connection.channel).GetModelVersion, request
            )
        return read_model(response.model_version)

    async def list_model_versions(self, model: str = "-") -> AsyncIterator[ModelVersion]:
        """All versions of a model, the newest first; without one, the newest of every model."""
        request = pb.ListModelVersionsRequest(parent=f"models/{model}")
        method = ModelServiceStub(self._connection.channel).ListModelVersions
        async for page in self._connection.pages(method, request):
            for message in page.model_versions:
                yield read_model(message)

    async def get_alias(self, alias: str) -> Alias:
        """Where an alias stands, and what roll-backs would return to."""
        request = pb.GetAliasRequest(name=f"aliases/{alias}")
        response = await self._connection.call(
            ModelServiceStub(self._connection.channel).GetAlias, request
        )
        return read_alias(response.alias)

    async def list_aliases(self) -> AsyncIterator[Alias]:
        """All aliases by name."""
        request = pb.ListAliasesRequest()
        method = ModelServiceStub(self._connection.channel).ListAliases
        async for page in self._connection.pages(method, request):
            for message in page.aliases:
                yield read_alias(message)

    async def promote_alias(self, alias: str, version: str) -> Alias:
        """Point an alias at a version."""
        request = pb.PromoteAliasRequest(
            name=f"aliases/{alias}", model_version=write_reference(version)
        )
        response = await self._connection.call(
            ModelServiceStub(self._connection.channel).PromoteAlias, request
        )
        return read_alias(response.alias)

    async def roll_back_alias(self, alias: str) -> Alias:
        """Point an alias back at what it meant before."""
        request = pb.RollBackAliasRequest(name=f"aliases/{alias}")
        response = await self._connection.call(
            ModelServiceStub(self._connection.channel).RollBackAlias, request
        )
        return read_alias(response.alias)

    async def export_model_version(self, reference: str, folder: Path) -> ModelVersion:
        """Write the files of a version into a new folder, checked against their hashes."""
        version = await self.get_model_version(reference)
        await asyncio.to_thread(_make, folder)
        request = pb.ExportModelVersionRequest(name=write_reference(version.reference))
        with self._connection.failures():
            call = ModelServiceStub(self._connection.channel).ExportModelVersion(
                request, metadata=self._connection.metadata
            )
            async for response in call:
                if response.HasField("chunk"):
                    await asyncio.to_thread(_put, folder, response.chunk)
        await asyncio.to_thread(_check, folder, version)
        return version


def _resource(reference: str) -> str:
    return write_reference(reference) or f"aliases/{reference}"


def _make(folder: Path) -> None:
    try:
        folder.mkdir(parents=True)
    except FileExistsError as error:
        raise AlreadyExists(f"{folder} is there already; name a new folder") from error


def _put(folder: Path, chunk: pb.FileChunk) -> None:
    name = PurePosixPath(chunk.path)
    if name.is_absolute() or ".." in name.parts:
        raise Corrupt(f"the server names a file outside the model: {chunk.path}")
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("r+b" if path.exists() else "xb") as file:
        file.seek(chunk.offset)
        file.write(chunk.data)


def _check(folder: Path, version: ModelVersion) -> None:
    for name, expected in version.files.items():
        path = folder / name
        if not path.is_file():
            raise NotFound(f"the server did not send {name}; export again")
        with path.open("rb") as file:
            found = hashlib.file_digest(file, "sha256").hexdigest()
        if found != expected:
            raise Corrupt(f"{name} is not what was registered; export again")

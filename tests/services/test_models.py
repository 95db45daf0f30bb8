"""Models through the socket: listed, named, moved back, exported whole."""

import hashlib
from pathlib import Path
from typing import Any

import grpc
import pytest

from rankspace.v1 import models_pb2 as pb
from rankspace.v1.models_pb2_grpc import ModelServiceStub
from services import models as service
from tests.services.parrot import ParrotEngine
from tests.services.refusal import refusal

FIRST, SECOND = "models/m/versions/1", "models/m/versions/2"
FILES = {"network.safetensors": bytes(range(256)) * 5, "sub/empty": b"", "config.json": b"{}"}
LINEAGE = {
    "job": "job-1",
    "snapshot": {"sources": [{"stream": "digits", "start": 0, "stop": 9, "digest": "0" * 64}]},
    "config": {"steps": 3},
    "metrics": {"held_out_loss": 1.5},
    "targets": [{"modality": "text", "role": "word", "encoding": ""}],
    "note": "kept",
}


@pytest.fixture
def stub(channel: grpc.aio.Channel, engine: ParrotEngine, tmp_path: Path) -> Any:
    folder = tmp_path / "made"
    for name, data in FILES.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)
    for _ in range(2):
        engine.store.catalogue.models.register("m", folder, LINEAGE)
    return ModelServiceStub(channel)


async def test_a_version_tells_where_it_comes_from(stub: Any) -> None:
    request = pb.GetModelVersionRequest(name=FIRST)
    found = (await stub.GetModelVersion(request)).model_version
    assert (found.name, found.lineage.job) == (FIRST, "jobs/job-1")
    assert found.lineage.snapshot[0].stream == "streams/digits"
    assert found.lineage.config["steps"] == 3
    assert found.lineage.facts["note"] == "kept"
    assert found.metrics == {"held_out_loss": 1.5}
    assert found.targets[0].role == "word"
    assert {file.path: file.bytes for file in found.files} == {
        name: len(data) for name, data in FILES.items()
    }


async def test_versions_are_listed_newest_first_and_models_by_name(stub: Any) -> None:
    for parent, expected in (("models/m", [SECOND, FIRST]), ("models/-", [SECOND])):
        page = await stub.ListModelVersions(pb.ListModelVersionsRequest(parent=parent))
        assert [version.name for version in page.model_versions] == expected


async def test_an_alias_is_moved_and_moved_back(stub: Any) -> None:
    for version in (FIRST, SECOND):
        request = pb.PromoteAliasRequest(name="aliases/default", model_version=version)
        assert (await stub.PromoteAlias(request)).alias.model_version == version
    back = await stub.RollBackAlias(pb.RollBackAliasRequest(name="aliases/default"))
    assert (back.alias.model_version, back.alias.rolled_back) == (FIRST, True)
    got = await stub.GetAlias(pb.GetAliasRequest(name="aliases/default"))
    listed = await stub.ListAliases(pb.ListAliasesRequest())
    assert [*listed.aliases] == [got.alias] == [back.alias]
    named = await stub.GetModelVersion(pb.GetModelVersionRequest(name="aliases/default"))
    assert named.model_version.name == FIRST


async def test_an_export_sends_every_byte_of_every_file(
    stub: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(service, "CHUNK", 100)
    call = stub.ExportModelVersion(pb.ExportModelVersionRequest(name="models/m"))
    first, *rest = [answer async for answer in call]
    got: dict[str, bytes] = {}
    for answer in rest:
        path = answer.chunk.path
        assert answer.chunk.offset == len(got.get(path, b""))
        got[path] = got.get(path, b"") + answer.chunk.data
    assert got == FILES
    for file in first.model_version.files:
        assert hashlib.sha256(got[file.path]).hexdigest() == file.sha256


async def test_a_version_whose_files_are_lost_is_corrupt(stub: Any, engine: ParrotEngine) -> None:
    version = engine.store.catalogue.models.get("m", 1)
    (version.folder / "config.json").unlink()
    code, reason, _, text = await refusal(
        stub.GetModelVersion(pb.GetModelVersionRequest(name=FIRST))
    )
    assert (code, reason) == (grpc.StatusCode.DATA_LOSS, "CORRUPT")
    assert str(version.folder) not in text


async def test_a_version_that_another_server_has_is_listed_and_not_exported(
    stub: Any, engine: ParrotEngine, tmp_path: Path
) -> None:
    engine.store.catalogue.models.get("m", 2).folder.rename(tmp_path / "elsewhere")
    page = await stub.ListModelVersions(pb.ListModelVersionsRequest(parent="models/m"))
    assert [version.name for version in page.model_versions] == [SECOND, FIRST]
    assert {file.bytes for file in page.model_versions[0].files} == {0}
    call = stub.ExportModelVersion(pb.ExportModelVersionRequest(name=SECOND))
    code, reason, _, text = await refusal(call.read())
    assert (code, reason) == (grpc.StatusCode.FAILED_PRECONDITION, "REFUSED")
    assert str(tmp_path) not in text


async def test_what_is_not_there_or_misnamed_is_refused(stub: Any) -> None:
    missing = stub.GetModelVersion(pb.GetModelVersionRequest(name="models/m/versions/9"))
    assert (await refusal(missing))[0] == grpc.StatusCode.NOT_FOUND
    for wrong in (
        stub.GetModelVersion(pb.GetModelVersionRequest(name="m@1")),
        stub.PromoteAlias(pb.PromoteAliasRequest(name="aliases/a")),
        stub.PromoteAlias(pb.PromoteAliasRequest(name="a", model_version=FIRST)),
    ):
        assert (await refusal(wrong))[0] == grpc.StatusCode.INVALID_ARGUMENT

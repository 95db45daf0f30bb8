"""Model versions, their lineage, and aliases.

The lineage of a version is plain data, each of which may be left out: `job` (its id), `snapshot`
(as `store.snapshots.Snapshot` dumps it), `config` (as `JobConfig` dumps it), `parent`
(name@version), `software`, `metrics` (numbers by name), `targets` (as `Target` dumps them), and any
other facts.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rankspace.config import parse
from rankspace.generation.request import Target
from rankspace.store.entries import Alias, ModelVersion
from rankspace.v1 import models_pb2 as pb
from rankspace.wire.generation import read_target, write_target
from rankspace.wire.names import read_name, read_version, write_reference
from rankspace.wire.values import read_struct, read_time, write_struct, write_time

_KNOWN = frozenset(("job", "snapshot", "config", "parent", "software", "metrics", "targets"))


def read_alias(message: pb.Alias) -> Alias:
    """Where an alias stands."""
    name, _, version = read_version(message.model_version).partition("@")
    return Alias(
        alias=read_name("aliases", message.name),
        name=name,
        version=int(version or 0),
        revision=message.revision,
        rolled_back=message.rolled_back,
        moved_us=read_time(message.update_time),
        history=tuple(read_version(earlier, "history") for earlier in message.history),
    )


def write_alias(alias: Alias) -> pb.Alias:
    """The same on the wire."""
    return pb.Alias(
        name=f"aliases/{alias.alias}",
        model_version=write_reference(alias.reference),
        revision=alias.revision,
        rolled_back=alias.rolled_back,
        update_time=write_time(alias.moved_us),
        history=map(write_reference, alias.history),
    )


def read_model(message: pb.ModelVersion) -> ModelVersion:
    """A registered model. Its folder is the server's own affair and stays empty."""
    name = read_version(message.name, "name").partition("@")[0]
    return ModelVersion(
        name=name,
        version=message.version,
        folder=Path(),
        files={file.path: file.sha256 for file in message.files},
        lineage=_read_lineage(message),
        created_us=read_time(message.create_time),
    )


def write_model(model: ModelVersion, sizes: Mapping[str, int]) -> pb.ModelVersion:
    """The same on the wire; `sizes` are the bytes of its files by path."""
    files = [
        pb.ModelFile(path=path, bytes=sizes.get(path, 0), sha256=sha256)
        for path, sha256 in sorted(model.files.items())
    ]
    return pb.ModelVersion(
        name=write_reference(model.reference),
        version=model.version,
        create_time=write_time(model.created_us),
        lineage=_write_lineage(model.lineage),
        metrics=model.lineage.get("metrics", {}),
        targets=[
            write_target(parse(Target, target)) for target in model.lineage.get("targets", ())
        ],
        files=files,
    )


def _read_lineage(message: pb.ModelVersion) -> dict[str, Any]:
    lineage = message.lineage
    known = {
        "job": read_name("jobs", lineage.job, "lineage.job") if lineage.job else "",
        "snapshot": {"sources": list(map(_read_source, lineage.snapshot))},
        "config": read_struct(lineage.config, "lineage.config"),
        "parent": read_version(lineage.parent, "lineage.parent"),
        "software": lineage.software,
        "metrics": dict(message.metrics),
        "targets": [read_target(target).model_dump() for target in message.targets],
    }
    return known | read_struct(lineage.facts, "lineage.facts")


def _write_lineage(lineage: Mapping[str, Any]) -> pb.Lineage:
    sources = lineage.get("snapshot", {}).get("sources", ())
    facts = {name: value for name, value in lineage.items() if name not in _KNOWN}
    return pb.Lineage(
        job=f"jobs/{lineage['job']}" if lineage.get("job") else "",
        snapshot=map(_write_source, sources),
        config=write_struct(lineage.get("config", {}), "config"),
        parent=write_reference(lineage.get("parent", "")),
        software=lineage.get("software", ""),
        facts=write_struct(facts, "facts"),
    )


def _read_source(message: pb.SnapshotSource) -> dict[str, Any]:
    return {
        "stream": read_name("streams", message.stream, "lineage.snapshot.stream"),
        "start": message.start_offset,
        "stop": message.stop_offset,
        "digest": message.digest,
    }


def _write_source(source: Mapping[str, Any]) -> pb.SnapshotSource:
    return pb.SnapshotSource(
        stream=f"streams/{source['stream']}",
        start_offset=source["start"],
        stop_offset=source["stop"],
        digest=source["digest"],
    )

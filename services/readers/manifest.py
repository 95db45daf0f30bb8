"""A JSONL manifest: one `Line` of JSON per sample, media by a path below the manifest's folder.

{"sample_id": "cat-1", "event_time": "2026-01-31T12:00:00Z", "labels": {"split": "train"},
 "parts": [{"path": "cat.jpg"}, {"modality": "text", "role": "ru", "text": "кошка"}]}
"""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

from pydantic import AwareDatetime

from rankspace.config import Config
from rankspace.errors import InvalidInput, LimitExceeded, NotFound
from rankspace.media.sample import Part, Sample
from services.readers.folder import content
from services.readers.naming import LIMITS, Named, PartMeta, ReaderLimits, parsed, part

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class LinePart(PartMeta):
    """One part: either its text or its file."""

    text: str | None = None
    """The text itself."""

    path: str | None = None
    """A file, relative to the manifest and below its folder."""


class Line(Config):
    """One sample."""

    sample_id: str
    """A name of your choice."""

    event_time: AwareDatetime | None = None
    """When it happened, as in RFC 3339, with its zone."""

    labels: dict[str, str] = {}
    """Free text for filters; {"split": "valid"} holds a sample out of training."""

    parts: tuple[LinePart, ...]
    """At least one."""


def read_manifest(path: Path, limits: ReaderLimits = LIMITS) -> Iterator[Sample]:
    """Every sample of a manifest; empty lines are passed over."""
    most = limits.json_bytes_max
    try:
        with path.open("rb") as file:
            for number, line in enumerate(iter(lambda: file.readline(most + 1), b""), start=1):
                where = f"{path} line {number}"
                if len(line) > most:
                    raise LimitExceeded(f"{where}: over {most} bytes; put long text in a file")
                if line.strip():
                    yield _sample(parsed(Line, line, where), path.parent, where, limits)
    except OSError as error:
        raise NotFound(f"{path}: cannot be read: {error.strerror}") from error


def _sample(line: Line, folder: Path, where: str, limits: ReaderLimits) -> Sample:
    if not line.parts:
        raise InvalidInput(f"{where}: parts: empty; a sample has at least one part")
    parts = tuple(
        _part(said, folder, f"{where}: parts.{index}", limits)
        for index, said in enumerate(line.parts)
    )
    time_us = (line.event_time - EPOCH) // timedelta(microseconds=1) if line.event_time else 0
    return Sample(line.sample_id, parts, time_us, line.labels)


def _part(said: LinePart, folder: Path, where: str, limits: ReaderLimits) -> Part:
    if said.path is not None and said.text is None:
        data, suffix = content(folder / said.path, folder, limits), Path(said.path).suffix[1:]
    elif said.text is not None and said.path is None:
        data, suffix = said.text.encode(), "txt"
    else:
        raise InvalidInput(f"{where}: give either text or path")
    found = part(Named(suffix, where, data), said)
    if found is None:
        raise InvalidInput(f"{where}: .{suffix} does not tell the modality; give `modality`")
    return found

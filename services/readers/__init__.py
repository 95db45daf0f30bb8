"""Samples from real files: a folder, a JSONL manifest, a WebDataset tar or a single media file.

At most one sample is in memory. Nothing is extracted to disk, nothing outside a source is read, and
what is not media is passed over with a note.
"""

import re
from collections.abc import Iterator
from pathlib import Path

from rankspace.errors import InvalidInput, NotFound
from rankspace.media.sample import Sample
from services.readers.folder import read_file, read_folder
from services.readers.manifest import read_manifest
from services.readers.naming import FORMATS, LIMITS, Note, ReaderLimits, silent
from services.readers.webdataset import read_webdataset

__all__ = [
    "Note",
    "ReaderLimits",
    "read",
    "read_file",
    "read_folder",
    "read_manifest",
    "read_webdataset",
]


def read(path: Path, limits: ReaderLimits = LIMITS, note: Note = silent) -> Iterator[Sample]:
    """The samples of a folder, a .jsonl manifest, a .tar (.gz, .bz2, .xz) or one media file."""
    name = path.name.lower()
    if path.is_dir():
        return read_folder(path, limits, note)
    if not path.exists():
        raise NotFound(f"there is no {path}; give a folder, a .jsonl, a .tar or a media file")
    if name.endswith((".jsonl", ".ndjson")):
        return read_manifest(path, limits)
    if re.search(r"\.(tar(\.(gz|bz2|xz))?|tgz)$", name):
        return read_webdataset(path, limits, note)
    if name.rpartition(".")[2] in FORMATS:
        return read_file(path, limits)
    raise InvalidInput(f"{path}: give a folder, .jsonl, .tar or one of {', '.join(FORMATS)}")

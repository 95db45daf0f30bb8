"""A folder of media files: the files of one stem are the parts of one sample, in name order.

The role is the last dotted word before the extension, if it starts with a letter: people's file
names have dots too (`IMG 2024.01.02.jpg`). A sample is called by its path below the folder. Hidden
files are passed over, and links that lead out of the folder are refused.
"""

import re
from collections.abc import Iterator
from itertools import groupby
from pathlib import Path

from rankspace.errors import InvalidInput, NotFound
from rankspace.media.sample import Sample
from services.readers.naming import (
    FORMATS,
    LIMITS,
    Named,
    Note,
    ReaderLimits,
    bounded,
    passed_over,
    sample,
    silent,
)

STEM_AND_ROLE = re.compile(r"(?P<stem>.+)\.(?P<role>[a-z][a-z0-9_-]{0,63})")


def read_folder(root: Path, limits: ReaderLimits = LIMITS, note: Note = silent) -> Iterator[Sample]:
    """Every sample below a folder."""
    yield from _walk(root, root, limits, note)


def read_file(path: Path, limits: ReaderLimits = LIMITS) -> Iterator[Sample]:
    """One media file as a sample of one part, called by its stem."""
    stem = _stem(path.name)
    named = Named(path.name[len(stem) + 1 :], str(path), content(path, path.parent, limits))
    yield from sample(stem, [named], silent)


def content(path: Path, root: Path, limits: ReaderLimits) -> bytes:
    """The bytes of a file below `root`."""
    if not path.resolve().is_relative_to(root.resolve()):
        raise InvalidInput(f"{path}: lies outside {root}; give a path below it, without links out")
    try:
        with path.open("rb") as file:
            return bounded(file, path.stat().st_size, str(path), limits)
    except OSError as error:
        raise NotFound(f"{path}: cannot be read: {error.strerror}") from error


def _walk(root: Path, folder: Path, limits: ReaderLimits, note: Note) -> Iterator[Sample]:
    here = sorted(path for path in folder.iterdir() if not path.name.startswith("."))
    media = []
    for path in (path for path in here if path.is_file()):
        if path.suffix[1:].lower() in (*FORMATS, "json"):
            media.append((_stem(path.name), path))
        else:
            note(passed_over(str(path)))
    for stem, group in groupby(sorted(media), key=lambda pair: pair[0]):
        files = [
            Named(path.name[len(stem) + 1 :], str(path), content(path, root, limits))
            for _, path in group
        ]
        yield from sample((folder / stem).relative_to(root).as_posix(), files, note)
    for inner in (path for path in here if path.is_dir()):
        if inner.is_symlink():
            note(f"{inner}: passed over, a link to a folder")
        else:
            yield from _walk(root, inner, limits, note)


def _stem(name: str) -> str:
    stem = name.rpartition(".")[0]
    match = STEM_AND_ROLE.fullmatch(stem)
    return match["stem"] if match else stem

"""Files that are there whole or not at all, and stay after a power cut.

A file is written under another name, fsynced, renamed, and the folder fsynced: a rename is atomic,
and it is on disk once its folder is.
"""

import hashlib
import os
import secrets
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

_CHUNK = 1 << 20
PART = ".part"
"""Ending of names that are not finished; such files may be deleted when nobody writes."""


def sync(path: Path) -> None:
    """Bring a file or folder to disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def make_folder(folder: Path) -> None:
    """Make a folder, and those above it, to stay."""
    if not folder.is_dir():
        make_folder(folder.parent)
        folder.mkdir(exist_ok=True)
        try:
            sync(folder.parent)
        except OSError:
            folder.rmdir()  # that it is there must mean that it stays
            raise


@contextmanager
def whole(path: Path) -> Iterator[Path]:
    """A name to write to; it becomes `path` when the block ends well, else it is removed."""
    part = _part(path)
    try:
        yield part
        sync(part)
        part.replace(path)
        sync(path.parent)
    finally:
        part.unlink(missing_ok=True)


def write(path: Path, pieces: Iterable[bytes]) -> None:
    """Write a new file piece after piece; its bytes are on disk when this returns.

    The name is on disk once the folder is synced. Until then, and after an error, the file may be
    torn: only for names that nobody knows yet.
    """
    with path.open("xb", buffering=0) as file:
        for piece in pieces:
            rest = memoryview(piece)
            while rest:
                rest = rest[file.write(rest) :]
        os.fsync(file.fileno())


def _part(path: Path) -> Path:
    return path.with_name(f".{path.name}.{secrets.token_hex(4)}{PART}")


def sha256(path: Path) -> str:
    """Hex SHA-256 of a file."""
    hasher = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            hasher.update(chunk)
    return hasher.hexdigest()


def manifest(folder: Path) -> dict[str, str]:
    """Hex SHA-256 of every file below a folder by its path inside it."""
    found = sorted(path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): sha256(path) for path in found}

"""Files that are there whole or not at all, and stay after a power cut.

A file is written under another name, fsynced, renamed, and the folder fsynced: a rename is atomic,
and it is on disk once its folder is.

Large files that are written bit by bit are met by their handles: `write_at`, `reserve`, `punch`.
Holes and room ahead are asked for by fallocate(2); where a file system has none, zeros are written
instead of a hole, and no room is taken ahead.
"""

import ctypes
import errno
import hashlib
import os
import secrets
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

_CHUNK = 1 << 20
_VECTOR = 1024  # pieces that one call writes: IOV_MAX
_PUNCH_HOLE = 3  # FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE
_LIBC = ctypes.CDLL(None)
_Offset = ctypes.c_int64
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


def write_at(handle: int, pieces: Sequence[bytes | memoryview], at: int) -> None:
    """Write pieces one after the other, from a position on."""
    for first in range(0, len(pieces), _VECTOR):
        some = pieces[first : first + _VECTOR]
        size = sum(map(len, some))
        done = os.pwritev(handle, some, at)
        if done < size:  # a disk that is nearly full, or a signal
            _write_rest(handle, memoryview(b"".join(some))[done:], at + done)
        at += size


def read_at(path: Path, start: int, length: int) -> bytes:
    """So many bytes from a position on, fewer at the end of the file."""
    handle = os.open(path, os.O_RDONLY)
    try:
        return os.pread(handle, length, start)
    finally:
        os.close(handle)


def reserve(handle: int, start: int, length: int) -> None:
    """Ask for room; where there is none, whoever writes there will hear of it."""
    _fallocate(handle, 0, start, length)


def punch(handle: int, start: int, length: int) -> None:
    """Make a hole: the bytes are zeros from now on, and take no room if the file system can."""
    if _fallocate(handle, _PUNCH_HOLE, start, length):
        return
    stop = min(start + length, os.fstat(handle).st_size)
    for at in range(start, stop, _CHUNK):
        _write_rest(handle, memoryview(bytes(min(_CHUNK, stop - at))), at)


def forget(handle: int, start: int, length: int) -> None:
    """Tell the system that what is there, and on the disk, will not be read soon."""
    if hasattr(os, "posix_fadvise"):  # not on every system
        os.posix_fadvise(handle, start, length, os.POSIX_FADV_DONTNEED)


def has_data(handle: int, start: int, stop: int) -> bool:
    """Whether anything but a hole is in [start, stop)."""
    try:
        return os.lseek(handle, start, os.SEEK_DATA) < stop
    except OSError as error:
        if error.errno == errno.ENXIO:  # nothing but a hole up to the end
            return False
        raise


def _write_rest(handle: int, rest: memoryview, at: int) -> None:
    while rest:
        done = os.pwrite(handle, rest, at)
        rest, at = rest[done:], at + done


def _fallocate(handle: int, mode: int, start: int, length: int) -> bool:
    call = getattr(_LIBC, "fallocate", None)  # Linux only
    return call is not None and call(handle, mode, _Offset(start), _Offset(length)) == 0


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

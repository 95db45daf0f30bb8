"""A WebDataset tar: `key.suffix` files, those of one key next to each other.

The key ends at the first dot of the file's name. The tar is streamed and never extracted; links and
devices are refused, and a forged header cannot ask for much memory.
Source: github.com/webdataset/webdataset.
"""

import tarfile
import zlib
from collections.abc import Iterator
from itertools import groupby
from lzma import LZMAError
from pathlib import Path, PurePosixPath
from typing import IO, cast

from rankspace.errors import InvalidInput, MalformedMedia, NotFound
from rankspace.media.sample import Sample
from services.readers.naming import (
    LIMITS,
    Named,
    Note,
    ReaderLimits,
    bounded,
    sample,
    shown,
    silent,
)


class _Bounded:
    """A file that refuses to read much at once: tarfile believes the sizes in extended headers."""

    def __init__(self, file: IO[bytes], most: int) -> None:
        self._file, self._most = file, most
        self.seek, self.tell, self.close = file.seek, file.tell, file.close

    def read(self, size: int) -> bytes:
        if size > self._most + tarfile.BLOCKSIZE:
            raise tarfile.ReadError(f"a header of {size} bytes")
        return self._file.read(size)


class _Tar(tarfile.TarFile):
    """A tar that is bounded from its first header on."""

    def __init__(self, name: str, mode: str, stream: IO[bytes], *, most: int) -> None:
        super().__init__(name, "r", cast(IO[bytes], _Bounded(stream, most)))


def read_webdataset(
    path: Path, limits: ReaderLimits = LIMITS, note: Note = silent
) -> Iterator[Sample]:
    """Every sample of a .tar, .tar.gz, .tar.bz2 or .tar.xz."""
    try:
        with _Tar.open(path, "r|*", most=limits.file_bytes_max) as tar:  # type: ignore[call-overload]
            for key, group in groupby(_members(tar, path, limits), key=lambda pair: pair[0]):
                yield from sample(key, (named for _, named in group), note)
    except (tarfile.TarError, EOFError, zlib.error, LZMAError) as error:
        raise MalformedMedia(f"{path}: damaged or not a tar ({error}); pack it again") from error
    except OSError as error:
        raise NotFound(f"{path}: cannot be read: {error.strerror or error}") from error


def _members(tar: tarfile.TarFile, path: Path, limits: ReaderLimits) -> Iterator[tuple[str, Named]]:
    while (info := tar.next()) is not None:
        tar.members.clear()  # type: ignore[attr-defined]  # or all headers stay in memory
        where, name = shown(f"{path}: {info.name}"), PurePosixPath(info.name)
        if info.isdir() or name.name.startswith("."):
            continue
        file = tar.extractfile(info) if info.isreg() else None
        if file is None:
            raise InvalidInput(f"{where}: a link or a device; pack plain files only")
        stem, _, suffix = name.name.partition(".")
        data = bounded(file, info.size, where, limits)
        yield (name.parent / stem).as_posix(), Named(suffix, where, data)

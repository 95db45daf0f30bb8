"""The token cache: a snapshot in symbols, written once, mapped into memory by every epoch.

An Arrow IPC file with one row a sample:

    stream utf8 | offset i64 | split utf8 |
    parts list<struct<modality utf8, role utf8, symbols list<i32>>>

Its name and its metadata hold the hash of the codecs and of the snapshot it was made with, so a
cache is never taken for another. `TokenCache` reads by mapping: the symbols it hands out are NumPy
views of the file, and what is not looked at is not loaded.

Shapes: symbols are int32 [N].
Source: Arrow columnar format, arrow.apache.org/docs/format/Columnar.html (IPC file).
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from rankspace.errors import Corrupt, NotFound
from rankspace.media.sample import Modality
from rankspace.store import files

Symbols = NDArray[np.int32]

_ROWS = 512  # rows of one Arrow batch: what the writer holds in memory
_PART = pa.struct(
    [
        pa.field("modality", pa.utf8(), nullable=False),
        pa.field("role", pa.utf8(), nullable=False),
        pa.field("symbols", pa.large_list(pa.int32()), nullable=False),
    ]
)
_SCHEMA = pa.schema(
    [
        pa.field("stream", pa.utf8(), nullable=False),
        pa.field("offset", pa.int64(), nullable=False),
        pa.field("split", pa.utf8(), nullable=False),
        pa.field("parts", pa.large_list(_PART), nullable=False),
    ]
)


@dataclass(frozen=True, slots=True)
class TokenPart:
    """One part of a sample in symbols of its modality's own alphabet."""

    modality: Modality
    role: str
    symbols: Symbols


@dataclass(frozen=True, slots=True)
class TokenSample:
    """One sample in symbols."""

    stream: str
    offset: int
    split: str
    """The sample's label "split"; "valid" never trains."""

    parts: tuple[TokenPart, ...]


def cache_path(folder: Path, codec_hash: str, snapshot_hash: str) -> Path:
    """Where the cache of these codecs and this snapshot lies."""
    return folder / f"{codec_hash[:16]}-{snapshot_hash[:16]}.arrow"


def write(
    folder: Path, codec_hash: str, snapshot_hash: str, samples: Iterable[TokenSample]
) -> Path:
    """Write a cache; it appears whole when all samples are in it, or not at all."""
    path = cache_path(folder, codec_hash, snapshot_hash)
    schema = _SCHEMA.with_metadata({"codecs": codec_hash, "snapshot": snapshot_hash})
    rows = iter(samples)
    with (
        files.whole(path) as part,
        pa.OSFile(str(part), "wb") as sink,
        pa.ipc.new_file(sink, schema) as writer,
    ):
        while batch := list(islice(rows, _ROWS)):
            writer.write_batch(_batch(batch, schema))
    return path


class TokenCache:
    """A cache, mapped. Indexing gives a `TokenSample` whose symbols are views of the file."""

    def __init__(self, folder: Path, codec_hash: str, snapshot_hash: str) -> None:
        path = cache_path(folder, codec_hash, snapshot_hash)
        try:
            self._file = pa.memory_map(str(path))
            reader = pa.ipc.open_file(self._file)
            batches = [reader.get_batch(at) for at in range(reader.num_record_batches)]
        except FileNotFoundError as error:
            raise NotFound("these symbols have not been written yet") from error
        except pa.ArrowInvalid as error:
            raise Corrupt("the token cache is damaged; remove it and it is made anew") from error
        expected = {b"codecs": codec_hash.encode(), b"snapshot": snapshot_hash.encode()}
        if reader.schema.metadata != expected:
            raise Corrupt("the token cache is of other codecs or another snapshot")
        self._batches = [_Batch(batch) for batch in batches]
        self._ends = np.cumsum([len(batch) for batch in self._batches], dtype=np.int64)

    def __len__(self) -> int:
        return int(self._ends[-1]) if len(self._ends) else 0

    def __getitem__(self, index: int) -> TokenSample:
        if not 0 <= index < len(self):
            raise IndexError(index)
        at = int(np.searchsorted(self._ends, index, side="right"))
        start = int(self._ends[at - 1]) if at else 0
        return self._batches[at].sample(index - start)

    def __iter__(self) -> Iterator[TokenSample]:
        return (batch.sample(row) for batch in self._batches for row in range(len(batch)))

    def close(self) -> None:
        """Unmap the file; symbols handed out stay valid, they hold the map themselves."""
        self._file.close()


class _Batch:
    """The columns of one Arrow batch as NumPy arrays and lists of strings."""

    def __init__(self, batch: pa.RecordBatch) -> None:
        parts = batch.column("parts")
        fields = parts.values
        symbols = fields.field("symbols")
        self.streams = batch.column("stream").to_pylist()
        self.offsets = batch.column("offset").to_numpy()
        self.splits = batch.column("split").to_pylist()
        self.part_ends = parts.offsets.to_numpy()  # [rows + 1]
        self.modalities = fields.field("modality").to_pylist()
        self.roles = fields.field("role").to_pylist()
        self.symbol_ends = symbols.offsets.to_numpy()  # [parts + 1]
        self.symbols = symbols.values.to_numpy(zero_copy_only=True)

    def __len__(self) -> int:
        return len(self.offsets)

    def sample(self, row: int) -> TokenSample:
        first, last = self.part_ends[row : row + 2]
        parts = tuple(map(self._part, range(first, last)))
        return TokenSample(self.streams[row], int(self.offsets[row]), self.splits[row], parts)

    def _part(self, at: int) -> TokenPart:
        start, stop = self.symbol_ends[at : at + 2]
        return TokenPart(self.modalities[at], self.roles[at], self.symbols[start:stop])


def _batch(samples: Sequence[TokenSample], schema: pa.Schema) -> pa.RecordBatch:
    parts = [part for sample in samples for part in sample.parts]
    symbols = pa.LargeListArray.from_arrays(
        _ends(len(part.symbols) for part in parts),
        pa.array(np.concatenate([np.empty(0, np.int32), *(part.symbols for part in parts)])),
    )
    names = [[part.modality for part in parts], [part.role for part in parts]]
    struct = pa.StructArray.from_arrays(
        [*(pa.array(column, pa.utf8()) for column in names), symbols], fields=list(_PART)
    )
    columns = [
        pa.array([sample.stream for sample in samples], pa.utf8()),
        pa.array([sample.offset for sample in samples], pa.int64()),
        pa.array([sample.split for sample in samples], pa.utf8()),
        pa.LargeListArray.from_arrays(_ends(len(sample.parts) for sample in samples), struct),
    ]
    return pa.RecordBatch.from_arrays(columns, schema=schema)


def _ends(lengths: Iterable[int]) -> pa.Array:
    return pa.array(np.cumsum([0, *lengths], dtype=np.int64))

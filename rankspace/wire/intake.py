"""Batches of plain samples, read, checked, hashed and laid out in one call over their bytes.

    bytes of AppendSamplesRequest ─▶ intake.cpp ─▶ Plain: a run, large media, heads of media
                                          └──────▶ None: not plain, or there is no compiler

Law: of any bytes, either nothing is told, or what the ordinary way tells: they parse, `read_sample`
reads every sample, `check_form` finds nothing, and `Draft` lays them out as here. What is not plain
goes the ordinary way, which is also where all refusals are worded.

Plain is a message of batches only (protobuf joins them, and the last offset and hash hold), whose
samples each have an id of printable ASCII, no labels and one part: text, audio or an image, without
a start, in an encoding that its first bytes bear out. A batch with a hash that is not that of its
media is not plain either. Fields in any order are; numbers in a longer form than they need, fields
that come twice in their message, fields that nobody knows, and ids of more than 16,000 characters
are not.

Samples, and what a client says of their media, are hashed by BLAKE3 (rankspace/blake3.h). It may
say it in SHA-256 instead, which is OpenSSL's, as Python's `hashlib` has loaded it.
"""

import ctypes
import hashlib
import importlib
import json
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rankspace import hashing
from rankspace.compiled import library
from rankspace.media.heads import HEAD_BYTES, Heads
from rankspace.media.limits import Limits
from rankspace.media.sample import Part, Sample
from rankspace.store.content import digest, unpack
from rankspace.store.drafts import Laid
from rankspace.store.runs import DIGEST, SAMPLES, Run, laid

SOURCES = (
    *(Path(__file__).with_name(name) for name in ("intake.cpp", "utf8.cpp")),
    *hashing.HEADERS,
)

_DESCRIBED = 192
"""Bytes that describe a part, at most, with its role and the numbers of raw PCM."""

_TEXT_BYTES_MAX = 8 << 20
"""A batch whose ids and descriptions are longer together is not plain either."""

_SMALL = 4096
"""Bytes of media that are gathered sooner than written one by one."""

_COLUMNS = 13  # of Row in intake.cpp
_PART = 2  # an address and a size
_START, _SIZE, _MODALITY, _THERE, _TOLD_END = 1, 2, 3, 7, 8
_ROW = (3, 4, 5, 6, _SIZE, _THERE)  # of Heads
_NONE = Heads(b"", b"")


@dataclass(slots=True)
class Plain(Laid):
    """A batch of plain samples, as `Draft` lays it out; large pieces are views of the message."""

    offset: int | None
    """Where it must land; None: at the end."""

    heads: Heads
    """Of the samples that are told by them."""

    short: Sequence[int]
    """The places of these."""

    whole: Sequence[int]
    """The places of samples that are neither text nor told by their heads."""

    message: bytes
    """Where it was read from."""

    table: NDArray[np.int64]
    """[samples, 3]: event time, where its data begin in the message, and their length."""

    @property
    def offsets(self) -> int:
        return len(self.table)

    def samples(self, places: Collection[int] | None = None) -> list[Sample]:
        """Those at these places, in their order; None: all of them."""
        lines = [
            line for run in self.entries if isinstance(run, Run) for line in json.loads(run.told)
        ]
        found = []
        for at, (line, row) in enumerate(zip(lines, self.table.tolist(), strict=True)):
            if places is not None and at not in places:
                continue
            (sample_id, time_us, _, parts), (_, start, size) = line, row
            data = self.message[start : start + size]
            found.append(Sample(sample_id, unpack(parts, data), time_us))
        return found


class _Bounds(ctypes.Structure):
    _fields_ = (
        *((name, ctypes.c_int64) for name in (
            "samples", "id_chars", "text_bytes", "part_bytes", "small_bytes", "head_bytes",
            "text_room", "small_room",
        )),
        *((name, ctypes.c_void_p) for name in ("init", "update", "final")),
    )  # fmt: skip


class _Told(ctypes.Structure):
    _fields_ = tuple(
        (name, ctypes.c_int64) for name in ("offset", "large", "media", "bytes", "small")
    )


class _Room:
    """Where one call writes. Pages that it does not write take no memory."""

    def __init__(self, samples: int, text: int, small: int) -> None:
        self.rows = np.empty((samples, _COLUMNS), np.int64)
        self.parts = np.empty((samples, _PART), np.int64)
        self.hashes = np.empty(samples * DIGEST, np.uint8)
        self.text = np.empty(text, np.uint8)
        self.small = np.empty(small, np.uint8)
        self.told = _Told()
        buffers = (self.rows, self.parts, self.hashes, self.text, self.small)
        self.addresses = (*(each.ctypes.data for each in buffers), ctypes.addressof(self.told))


class Intake:
    """Reads batches. Threads may share it."""

    def __init__(
        self, path: Path, limits: Limits, batch_samples_max: int, inline_bytes_max: int
    ) -> None:
        """`path` is the library. Raises OSError, ImportError or AttributeError without OpenSSL."""
        openssl = ctypes.CDLL(importlib.import_module("_hashlib").__file__)
        functions = (openssl.SHA256_Init, openssl.SHA256_Update, openssl.SHA256_Final)
        described = 2 * limits.sample_id_chars_max + _DESCRIBED
        text = min(batch_samples_max * described, _TEXT_BYTES_MAX)
        self._room = batch_samples_max, text, batch_samples_max * _SMALL
        self._rooms: list[_Room] = []
        self._bounds = _Bounds(
            batch_samples_max, limits.sample_id_chars_max, limits.text_bytes_max,
            limits.part_bytes_max, _SMALL, HEAD_BYTES, *self._room[1:],
            *(ctypes.cast(each, ctypes.c_void_p).value for each in functions),
        )  # fmt: skip
        self._inline_bytes_max = inline_bytes_max
        self._read = _function(ctypes.CDLL(str(path)))
        self._bounds_at = ctypes.addressof(self._bounds)

    @staticmethod
    def load(limits: Limits, batch_samples_max: int, inline_bytes_max: int) -> "Intake | None":
        """Compiled if need be; None where that cannot be done, or OpenSSL cannot be reached."""
        path = library(*SOURCES)
        if path is None:
            return None
        try:
            intake = Intake(path, limits, batch_samples_max, inline_bytes_max)
        except (OSError, ImportError, AttributeError):
            return None
        return intake if _agrees(intake) else None

    def read(self, message: bytes) -> Plain | None:
        """The batch in the bytes of an AppendSamplesRequest; None: it is not plain."""
        try:
            room = self._rooms.pop()
        except IndexError:
            room = _Room(*self._room)
        count = self._read(message, len(message), self._bounds_at, *room.addresses)
        plain = self._plain(message, count, room) if count else None
        self._rooms.append(room)
        return plain

    def _plain(self, message: bytes, count: int, room: _Room) -> Plain:
        told, table = room.told, room.rows[:count]
        view = memoryview(message)
        offset = told.offset if told.offset >= 0 else None
        heads = _heads(view, table) if told.media else (_NONE, (), ())
        pieces = _pieces(view, room, table)
        entries, left = laid(_runs(room, table), pieces, self._inline_bytes_max)
        return Plain(entries, left, offset, *heads, message, table[:, : _SIZE + 1].copy())


def _pieces(view: memoryview, room: _Room, table: NDArray[np.int64]) -> list[bytes | memoryview]:
    """All media in their order: large ones as views of the message, small neighbours together."""
    small = room.small[: room.told.small].tobytes()
    if not room.told.large:
        return [small]
    found: list[bytes | memoryview] = []
    begun = at = 0
    for start, size in table[:, _START : _SIZE + 1].tolist():
        if size <= _SMALL:
            at += size
            continue
        if at > begun:
            found.append(small[begun:at])
            begun = at
        found.append(view[start : start + size])
    return [*found, small[begun:]] if at > begun else found


def _runs(room: _Room, table: NDArray[np.int64]) -> list[Run]:
    """The runs that `Draft` would make: nearly always one."""
    found, at = [], 0
    for first in range(0, len(table), SAMPLES):
        end = min(first + SAMPLES, len(table))
        whole = end - first == len(table)
        size = room.told.bytes if whole else int(table[first:end, _SIZE].sum())
        line = int(table[first - 1, _TOLD_END]) if first else 0
        line_end = int(table[end - 1, _TOLD_END]) - 1  # without the last comma
        hashes = room.hashes[DIGEST * first : DIGEST * end].tobytes()
        told = room.text[line:line_end].tobytes().decode("ascii")
        found.append(Run(hashes, f"[{told}]", b"", size, at))
        at += size
    return found


def _function(handle: ctypes.CDLL) -> Any:
    function = handle.intake_read
    function.restype = ctypes.c_int64
    function.argtypes = (ctypes.c_char_p, ctypes.c_int64, *(ctypes.c_void_p,) * 7)
    return function


def _heads(
    view: memoryview, table: NDArray[np.int64]
) -> tuple[Heads, Sequence[int], Sequence[int]]:
    """Of samples that are not text: heads, the places of these, and of those that have none."""
    media = table[:, _MODALITY] > 0
    told = media & (table[:, _THERE] >= 0)
    rows = table[told]
    ends = (rows[:, _START] + rows[:, _THERE]).tolist()
    data = b"".join(
        view[start:end] for start, end in zip(rows[:, _START].tolist(), ends, strict=True)
    )
    heads = Heads(rows[:, _ROW].tobytes(), data)
    return heads, np.flatnonzero(told).tolist(), np.flatnonzero(media & ~told).tolist()


def _agrees(intake: Intake) -> bool:
    """Whether it hashes as the ordinary way does; OpenSSL's functions are called by their names."""
    known, sent = Sample("a", (Part("text", b"x"),)), b"\x12\x0a\x0a\x01a\x1a\x05\x12\x03\x0a\x01x"
    sent += b"\x1a\x20" + hashlib.sha256(b"x").digest() + b"\x22\x20" + hashing.digest(b"x")
    plain = intake.read(bytes([0x12, len(sent)]) + sent)
    return plain is not None and plain.entries[0].hashes == digest(known)

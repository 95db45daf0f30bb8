"""Batches of plain samples, read, checked, hashed and laid out in one call over their bytes.

    bytes of AppendSamplesRequest ─▶ intake.cpp ─▶ Plain: rows, large media, heads of media
                                          └──────▶ None: not plain, or there is no compiler

Law: of any bytes, either nothing is told, or what the ordinary way tells: they parse, `read_sample`
reads every sample, `check_form` finds nothing, and `Draft` lays them out as here. What is not plain
goes the ordinary way, which is also where all refusals are worded.

Plain is a message of batches only (protobuf joins them, and the last offset and hash hold), whose
samples each have an id of printable ASCII, no labels and one part: text, audio or an image, without
a start, in an encoding that its first bytes bear out. A batch with a content hash that is not that
of its media is not plain either. Fields in any order are; numbers in a longer form than they need,
fields that come twice in their message, and fields that nobody knows are not.

SHA-256 is OpenSSL's, as Python's `hashlib` has loaded it.
"""

import ctypes
import importlib
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import repeat
from pathlib import Path
from typing import Any, NamedTuple, cast

import numpy as np
from numpy.typing import NDArray

from rankspace.compiled import library
from rankspace.errors import Corrupt
from rankspace.media.heads import HEAD_BYTES
from rankspace.media.limits import Limits
from rankspace.media.magic import ENCODINGS
from rankspace.media.sample import MODALITIES, Modality, Part, Sample
from rankspace.store.content import Packed, digest, unpack
from rankspace.store.drafts import Laid, Prepared

SOURCES = tuple(Path(__file__).with_name(name) for name in ("intake.cpp", "utf8.cpp"))

APART_BYTES = 1 << 20
"""A message from so many bytes on is read without holding back other threads."""

_DESCRIBED = 192
"""Bytes that describe a part, at most, with its role and the numbers of raw PCM."""

_TEXT_BYTES_MAX = 8 << 20
"""A batch whose ids and descriptions are longer together is not plain either."""

_DIGEST = 32
_COLUMNS = 12  # of Row in intake.cpp; the first three are enough for text
_UP_TO_SIZE, _UP_TO_HEAD = 3, 8
_ENCODINGS = ("", *ENCODINGS["audio"], *ENCODINGS["image"])  # by their number on the wire
_new = cast(Any, tuple.__new__)


class Head(NamedTuple):
    """What is to be looked at of a part that is not text."""

    place: int
    """Of its sample, in the batch."""

    modality: Modality
    encoding: str
    """As sent."""

    rate_hz: int
    channels: int
    size: int
    """Bytes of the part."""

    whole: bool
    """All of it has to be looked at: `rankspace.media.heads.needed` is None."""

    data: memoryview
    """The first bytes, as many as are needed."""


@dataclass(slots=True)
class Plain(Laid):
    """A batch of plain samples, as `Draft` lays it out; its pieces are views of the message."""

    offset: int | None
    """Where it must land; None: at the end."""

    heads: Sequence[Head]
    """Of the samples that are not text."""

    message: bytes
    """Where it was read from."""

    _starts: list[int]

    def sample(self, at: int) -> Sample:
        """One of the samples."""
        row, start = self.rows[at], self._starts[at]
        packed = self.packed[at] if self.packed else None
        words = [row.parts or ""]
        if packed is not None:
            words = [str(row.size) if isinstance(word, tuple) else word for word in packed.words]
        data = self.message[start : start + row.size]
        return Sample(
            row.sample_id, unpack(json.loads("".join(words)), data, _nowhere), row.event_time_us
        )

    def samples(self) -> list[Sample]:
        """All of them."""
        return [self.sample(at) for at in range(len(self.rows))]


class _Bounds(ctypes.Structure):
    _fields_ = (
        *((name, ctypes.c_int64) for name in (
            "samples", "id_chars", "text_bytes", "part_bytes", "inline_bytes", "head_bytes",
            "text_room",
        )),
        *((name, ctypes.c_void_p) for name in ("init", "update", "final")),
    )  # fmt: skip


class _Told(ctypes.Structure):
    _fields_ = tuple((name, ctypes.c_int64) for name in ("offset", "large", "media", "text_size"))


class _Room:
    """Where one call writes. Pages that it does not write take no memory."""

    def __init__(self, samples: int, text: int) -> None:
        self.rows = np.empty((samples, _COLUMNS), np.int64)
        self.hashes = np.empty(samples, f"V{_DIGEST}")
        self.text = np.empty(text, np.uint8)
        self.told = _Told()
        buffers = (self.rows, self.hashes, self.text)
        self.addresses = (*(each.ctypes.data for each in buffers), ctypes.addressof(self.told))


class Intake:
    """Reads batches. Threads may share it."""

    def __init__(
        self, path: Path, limits: Limits, batch_samples_max: int, inline_bytes_max: int
    ) -> None:
        """`path` is the library. Raises OSError, ImportError or AttributeError without OpenSSL."""
        openssl = ctypes.CDLL(importlib.import_module("_hashlib").__file__)
        functions = (openssl.SHA256_Init, openssl.SHA256_Update, openssl.SHA256_Final)
        described = limits.sample_id_chars_max + _DESCRIBED
        self._room = batch_samples_max, min(batch_samples_max * described, _TEXT_BYTES_MAX)
        self._rooms: list[_Room] = []
        self._bounds = _Bounds(
            batch_samples_max, limits.sample_id_chars_max, limits.text_bytes_max,
            limits.part_bytes_max, inline_bytes_max, HEAD_BYTES, self._room[1],
            *(ctypes.cast(each, ctypes.c_void_p).value for each in functions),
        )  # fmt: skip
        self._inline_bytes_max = inline_bytes_max
        self._at_once = _function(ctypes.PyDLL(str(path)))
        self._apart = _function(ctypes.CDLL(str(path)))
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
        call = self._at_once if len(message) < APART_BYTES else self._apart
        count = call(message, len(message), self._bounds_at, *room.addresses)
        plain = self._plain(message, count, room) if count else None
        self._rooms.append(room)
        return plain

    def _plain(self, message: bytes, count: int, room: _Room) -> Plain:
        told, table = room.told, room.rows[:count]
        times, starts, sizes = table[:, :_UP_TO_SIZE].T.tolist()
        words = room.text[: told.text_size].tobytes().decode("ascii").split("\n")
        ids = words[:-1:2]
        parts: Sequence[str | None] = words[1::2]
        pieces: list[bytes | memoryview] = []
        packed: list[Packed | None] = []
        if told.large:
            media = zip(starts, sizes, words[1::2], strict=True)
            parts, payloads = self._packed(message, media, pieces, packed)
        else:
            ends = zip(starts, sizes, strict=True)
            payloads = [message[start : start + size] for start, size in ends]
        nothing, labels = repeat(None), repeat("{}")
        hashes = room.hashes[:count].tolist()
        columns = (hashes, ids, times, sizes, nothing, nothing, labels, parts, payloads)
        rows: list[Prepared] = list(map(_new, repeat(Prepared), zip(*columns, strict=False)))
        offset = told.offset if told.offset >= 0 else None
        heads = _heads(message, table) if told.media else []
        return Plain(rows, pieces, packed or (), offset, heads, message, starts)

    def _packed(
        self,
        message: bytes,
        media: Iterable[tuple[int, int, str]],
        pieces: list[bytes | memoryview],
        packed: list[Packed | None],
    ) -> tuple[list[str | None], list[bytes]]:
        """The columns of parts and payloads, where some media are large."""
        view, position = memoryview(message), 0
        parts: list[str | None] = []
        payloads: list[bytes] = []
        for start, size, words in media:
            if size <= self._inline_bytes_max:
                packed.append(None)
                parts.append(words)
                payloads.append(message[start : start + size])
                continue
            packed.append(Packed(b"", ["[", words, (position, size), "}]"]))
            parts.append(None)
            payloads.append(b"")
            pieces.append(view[start : start + size])
            position += size
        return parts, payloads


def _function(handle: ctypes.CDLL) -> Any:
    function = handle.intake_read
    function.restype = ctypes.c_int64
    function.argtypes = (ctypes.c_char_p, ctypes.c_int64, *(ctypes.c_void_p,) * 5)
    return function


def _heads(message: bytes, table: NDArray[np.int64]) -> list[Head]:
    view = memoryview(message)
    found = []
    for at, row in enumerate(table[:, :_UP_TO_HEAD].tolist()):
        _, start, size, modality, encoding, rate_hz, channels, head = row
        if modality:
            whole = head < 0
            kind = MODALITIES[modality], _ENCODINGS[encoding], rate_hz, channels
            data = view[start : start + (size if whole else head)]
            found.append(Head(at, *kind, size, whole, data))
    return found


def _agrees(intake: Intake) -> bool:
    """Whether OpenSSL hashes here as it does elsewhere; its functions are called by their names."""
    known = Sample("a", (Part("text", b"x"),))
    plain = intake.read(b"\x12\x0c\x12\x0a\x0a\x01a\x1a\x05\x12\x03\x0a\x01x")
    return plain is not None and plain.rows[0].hash == digest(known)


def _nowhere(_: str) -> bytes:
    raise Corrupt("a plain batch names no region")

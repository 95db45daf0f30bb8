"""BLAKE3, the hash of what is stored: of pieces, and chained over hashes.

    pieces ─▶ digest ─▶ 32 bytes each ─▶ chain ─▶ the digest of a stream

The package `blake3` hashes one input a call. A chain is one block of 64 bytes a hash, so there a
call costs more than its bytes; hashing.cpp takes all of it at once, where there is a compiler. What
reads batches in C++ hashes all their samples together, by the same blake3.h.

J. O'Connor, J-P. Aumasson, S. Neves, Z. Wilcox-O'Hearn: BLAKE3, 2020.
"""

import ctypes
from functools import cache
from pathlib import Path

from blake3 import blake3

from rankspace.compiled import library

HEADERS = tuple(Path(__file__).with_name(name) for name in ("blake3.h", "blake3_lanes.h"))
"""For whoever includes them."""

SOURCES = (Path(__file__).with_name("hashing.cpp"), *HEADERS)
SIZE = 32
"""Bytes of a hash."""

_JOINED = 128 << 10  # bytes that are hashed at once, though they are copied; larger pieces are not
_FEW = 2 * SIZE  # hashes that are chained sooner one by one
_LANES = 16  # at most


def digest(*pieces: bytes) -> bytes:
    """BLAKE3 of all pieces, one after the other: 32 bytes."""
    if sum(map(len, pieces)) < _JOINED:
        return blake3(b"".join(pieces)).digest()
    hasher, some, size = blake3(), list[bytes](), 0
    for piece in pieces:
        if size + len(piece) > _JOINED:
            hasher.update(b"".join(some))
            some, size = [], 0
        some.append(piece)
        size += len(piece)
    return hasher.update(b"".join(some)).digest()


def chain(before: bytes, contents: bytes) -> bytes:
    """The hash of `before` and the first of `contents`, of that and the next, up to the last.

    Each is 32 bytes.
    """
    found = native() if len(contents) > _FEW else None
    if found is not None:
        last = ctypes.create_string_buffer(before, SIZE)
        found.hashing_chain(last, contents, len(contents) // SIZE, _LANES)
        return last.raw
    for at in range(0, len(contents), SIZE):
        before = blake3(before + contents[at : at + SIZE]).digest()
    return before


@cache
def native() -> ctypes.PyDLL | None:
    """hashing.cpp, compiled if need be, which may take seconds; None where that cannot be done."""
    path = library(*SOURCES)
    if path is None:
        return None
    try:
        found = ctypes.PyDLL(str(path))  # microseconds: other threads need no turn meanwhile
    except OSError:  # made by a compiler for another machine, or of a folder that runs nothing
        return None
    found.hashing_chain.argtypes = (
        ctypes.c_char_p, ctypes.c_char_p, ctypes.c_int64, ctypes.c_int64,
    )  # fmt: skip
    found.hashing_chain.restype = None
    return found

"""What the disk itself takes: one file, written anew and synced after each piece.

No durable server is faster than this, whatever the echo says; one that gathers small appends into
large pieces comes nearest to it.
"""

import os
import time
from collections.abc import Sequence
from pathlib import Path

SIZES = (64 << 10, 512 << 10, 4 << 20, 16 << 20)


def synced_mb_s(folder: Path, sizes: Sequence[int], seconds: float) -> dict[int, float]:
    """MB/s by the bytes between two syncs."""
    return {size: _rate(folder / "disk", os.urandom(size), seconds) for size in sizes}


def _rate(path: Path, piece: bytes, seconds: float) -> float:
    pieces = max(1, (64 << 20) // len(piece))
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    try:
        os.posix_fallocate(handle, 0, pieces * len(piece))
        number, began = 0, time.perf_counter()
        while time.perf_counter() < began + seconds:
            os.pwrite(handle, piece, number % pieces * len(piece))
            os.fdatasync(handle)
            number += 1
        return number * len(piece) / 1e6 / (time.perf_counter() - began)
    finally:
        os.close(handle)
        path.unlink()

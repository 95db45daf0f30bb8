"""What a folder of segments holds, told from its files alone."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

BLOCK = 4096
"""Bytes to whose multiples regions begin."""


def blocks(folder: Path) -> int:
    """Blocks that hold anything but zeros, in all segments below a folder."""
    return sum(_blocks(np.fromfile(path, np.uint8)) for path in segments(folder))


def _blocks(data: NDArray[np.uint8]) -> int:
    whole = np.pad(data, (0, -len(data) % BLOCK))
    return int(whole.reshape(-1, BLOCK).any(axis=1).sum())


def segments(folder: Path) -> list[Path]:
    """The files below a folder, those of segments if it is one of segments."""
    return sorted(path for path in folder.rglob("*") if path.is_file())

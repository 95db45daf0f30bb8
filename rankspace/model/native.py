"""Passes over activations in C++, compiled once where there is a compiler: one loop each.

PyTorch reads and writes all activations for every operation of a formula, which on a CPU takes
longer than the products between them. passes.cpp has each formula as one loop over rows that stay
in the nearest cache, forward and backward. Where the processor has tiles (AMX), attend.cpp and
products.cpp multiply too: attention head by head, and what is slow as a product of PyTorch's.
Without a compiler there is nothing, and everything works as PyTorch has it.

They are compiled for this very processor (`rankspace.compiled`), and made again for another.
"""

import ctypes
import platform
from functools import cache
from pathlib import Path

import torch
from torch import Tensor

from rankspace.compiled import library

SOURCES = tuple(
    Path(__file__).with_name(name)
    for name in ("passes.cpp", "products.cpp", "attend.cpp", "numbers.h", "tiles.h")
)

FLAGS = (
    "-std=c++17", "-O3", "-march=native", "-mprefer-vector-width=512", "-fno-math-errno",
    "-fno-trapping-math", "-fno-signed-zeros", "-fassociative-math", "-freciprocal-math",
    "-ffinite-math-only", "-shared", "-fPIC",
)  # fmt: skip
"""Sums may be taken in another order, which lets loops use the whole width of the processor."""

Argument = Tensor | int | float | None


class Passes:
    """The compiled passes, by name."""

    def __init__(self, path: Path) -> None:
        self._library = ctypes.CDLL(str(path))
        self.tiles = bool(self._library.tiles())
        """Whether the processor multiplies tiles, and lets us."""

    def run(self, name: str, *arguments: Argument) -> None:
        """Run a pass; tensors are handed over as they lie in memory and must have no gaps."""
        told = [_told(each) for each in arguments]
        self._library[name](*told)


def _told(argument: Argument) -> ctypes.c_void_p | ctypes.c_int64 | ctypes.c_float | None:
    if isinstance(argument, Tensor):
        if not argument.is_contiguous():
            raise ValueError(f"a tensor of shape {tuple(argument.shape)} has gaps")
        return ctypes.c_void_p(argument.data_ptr())
    if isinstance(argument, float):
        return ctypes.c_float(argument)
    return None if argument is None else ctypes.c_int64(argument)


@cache
def passes() -> Passes | None:
    """The passes, compiled if need be; None where that cannot be done."""
    if not torch.cpu._is_avx512_supported():
        return None
    path = library(*SOURCES, flags=FLAGS, tuned=_processor())
    try:
        return Passes(path) if path is not None else None
    except OSError:
        return None


def _processor() -> bytes:
    """What `-march=native` depends on."""
    try:
        lines = Path("/proc/cpuinfo").read_bytes().splitlines()
    except OSError:
        return platform.processor().encode()
    return next((line for line in lines if line.startswith(b"flags")), b"")


def weigh(found: Passes, dy: Tensor, x: Tensor) -> Tensor:
    """The gradient of a weight [M, N] in float32: dy^T x, of bfloat16 [K, M] and [K, N]."""
    if not found.tiles:
        return (dy.T @ x).float()
    out = dy.new_empty(dy.shape[1], x.shape[1], dtype=torch.float32)
    found.run("weigh", *out.shape, len(x), dy, x, out)
    return out

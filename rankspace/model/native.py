"""Passes over activations in C++, compiled once where there is a compiler: one loop each.

PyTorch reads and writes all activations for every operation of a formula, which on a CPU takes
longer than the products between them. passes.cpp has each formula as one loop over rows that stay
in the nearest cache, forward and backward; heads.cpp has those of a head. Where the processor has
tiles (AMX), attend.cpp, dense.cpp and products.cpp multiply too: attention head by head, gates
beside their product, and what is slow as a product of PyTorch's.
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
    for name in (
        *("passes.cpp", "heads.cpp", "products.cpp", "dense.cpp", "attend.cpp"),
        *("numbers.h", "tiles.h"),
    )
)

FLAGS = (
    "-std=c++17", "-O3", "-march=native", "-mprefer-vector-width=512", "-fno-math-errno",
    "-fno-trapping-math", "-fno-signed-zeros", "-fassociative-math", "-freciprocal-math",
    "-ffinite-math-only", "-shared", "-fPIC",
)  # fmt: skip
"""Sums may be taken in another order, which lets loops use the whole width of the processor."""

TILE = 32
"""Rows and columns of a block; attention and gates on tiles need whole ones."""

DEEP_MAX = 512
"""Longest sums of our own products with a weight; PyTorch's are faster beyond."""

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


def times(found: Passes, x: Tensor, weight: Tensor) -> Tensor:
    """The product [N, M] of bfloat16 [N, K] and a weight [K, M], which may lie turned."""
    if not found.tiles or x.shape[1] > DEEP_MAX:
        return x @ weight
    turned = not weight.is_contiguous()
    out = x.new_empty(len(x), weight.shape[1])
    found.run("times", *out.shape, x.shape[1], x, weight.T if turned else weight, int(turned), out)
    return out


def gate(found: Passes, x: Tensor, inner: Tensor, beta: Tensor) -> tuple[Tensor, Tensor]:
    """Gates beside values [N, 2 F] = x inner^T, and what passes them [N, F]."""
    (count, width), hidden = x.shape, len(beta)
    if not _gated(found, hidden, width):
        gates, act = times(found, x, inner.T), x.new_empty(count, hidden)
        found.run("gate", count, hidden, gates, beta, act)
        return gates, act
    gates, act = x.new_empty(count, 2 * hidden), x.new_empty(count, hidden)
    found.run("times_gate", count, hidden, width, x, inner, beta, gates, act)
    return gates, act


def gate_back(
    found: Passes, dy: Tensor, down: Tensor, beta: Tensor, into: tuple[Tensor, Tensor]
) -> None:
    """From the gradient of act down^T to that of gates, in their place, and of beta, added."""
    (count, width), hidden, (gates, dbeta) = dy.shape, len(beta), into
    if _gated(found, hidden, width):
        found.run("times_gate_back", count, hidden, width, dy, down, beta, gates, dbeta)
    else:
        found.run("gate_back", count, hidden, gates, beta, times(found, dy, down), gates, dbeta)


def _gated(found: Passes, hidden: int, width: int) -> bool:
    return found.tiles and hidden % TILE == 0 and width <= DEEP_MAX

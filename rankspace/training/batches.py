"""Documents to one step's tensors: packed into rows of the context, seen only by their own kind.

Shapes: B rows, T context, N positions that lead to one alphabet.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from rankspace.model.network import Inputs
from rankspace.training.documents import Document


@dataclass(frozen=True, slots=True, eq=False)
class Asked:
    """All positions of a batch whose next symbol is of one alphabet."""

    door: int
    index: Int[Tensor, "n"]
    """Flat index into [B * T]."""

    before: Int[Tensor, "n"]
    targets: Int[Tensor, "n"]
    weights: Float[Tensor, "n"]
    sources: Int[Tensor, "n"]


@dataclass(frozen=True, slots=True, eq=False)
class Batch:
    """One step's worth."""

    inputs: Inputs
    mask: Bool[Tensor, "b 1 t t"]
    asked: tuple[Asked, ...]
    symbols: int
    """Symbols that are no padding."""


def pack(documents: Sequence[Document], context: int, rows: int = 0) -> Batch:
    """Lay documents into rows, longest first, each into the first row that has room.

    At least `rows` rows, padded, so that batches keep one shape.
    """
    order = sorted(range(len(documents)), key=lambda at: -len(documents[at]))
    free: list[int] = [context] * rows
    found: list[tuple[int, int, Document]] = []
    for at in order:
        size = len(documents[at])
        row = next((r for r, room in enumerate(free) if room >= size), len(free))
        if row == len(free):
            free.append(context)
        found.append((row, context - free[row], documents[at]))
        free[row] -= size
    return _tensors(found, len(free), context)


def _tensors(found: Sequence[tuple[int, int, Document]], rows: int, context: int) -> Batch:
    whole = np.zeros((7, rows, context), np.int64)
    whole[6] = -1
    weights = np.zeros((rows, context), np.float32)
    owner = np.full((rows, context), -1, np.int64)
    for number, (row, start, document) in enumerate(found):
        span = slice(start, start + len(document))
        whole[:, row, span] = (
            document.symbols, document.places, document.buckets, document.times,
            document.branch, document.targets, document.doors,
        )  # fmt: skip
        weights[row, span] = document.weights
        owner[row, span] = number
    symbols, places, buckets, times, branch, targets, doors = torch.from_numpy(whole).unbind(0)
    sources = np.array([document.source for _, _, document in found] or [0])
    lists = (symbols, targets, torch.from_numpy(weights), torch.from_numpy(sources[owner]))
    return Batch(
        inputs=Inputs(symbols, places, buckets, times),
        mask=_mask(torch.from_numpy(owner), branch),
        asked=tuple(_asked(int(d), doors, lists) for d in doors.unique() if d >= 0),
        symbols=int((owner >= 0).sum()),
    )


def _mask(owner: Int[Tensor, "b t"], branch: Int[Tensor, "b t"]) -> Bool[Tensor, "b 1 t t"]:
    """Who sees whom: what came before in one's own document, in one's own branch or the trunk."""
    own = owner[:, :, None] == owner[:, None, :]
    near = (branch[:, :, None] == branch[:, None, :]) | (branch[:, None, :] == 0)
    past = torch.ones(owner.shape[1], owner.shape[1], dtype=torch.bool).tril()
    return (own & near & past)[:, None]


def _asked(door: int, doors: Tensor, lists: tuple[Tensor, ...]) -> Asked:
    index = (doors == door).flatten().nonzero()[:, 0]
    before, targets, weights, sources = (each.flatten()[index] for each in lists)
    return Asked(door, index, before, targets, weights, sources)

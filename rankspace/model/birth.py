"""Embeddings from statistics: what stands beside what is known before the first step.

    M     = max(0, ln( n(a, b) n / (n(a) n(b)) ) - ln k)      shifted PMI of neighbours a, b, k = 1
    M     ~ U S U'^T,   e_a = rows of U S^(1/2)               the D largest
    e_a  <- C^(-1/2) (e_a - mu),   mu = sum p_a e_a,   C = sum p_a (e_a - mu)(e_a - mu)^T

The last line is Zipfian whitening: means and variances are those of running text, not of the list
of symbols. Rows are then as long as the normal draw would make them. Symbols that were never seen,
and columns beyond the rank of M, keep that draw. The mouth stays silent, so the birth law holds.

Shapes: V symbols, D width; float64 inside.
Source: Levy & Goldberg, 2014 (recalled); Zipfian whitening: arXiv 2411.00680 (second hand);
papers.md 11.f.
"""

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.linalg import svds

from rankspace.model.network import Network
from rankspace.ranks.counts import Counts
from rankspace.ranks.space import Space

Reals = NDArray[np.float64]
SHIFT = 1.0
"""k: how many times oftener than by chance a pair must come to count at all."""

STD = 0.02
"""Spread of an embedding at birth, as Network.reset draws it."""

LONGEST = 3.0
"""No row is longer than so many times sqrt(D) * STD: rare symbols are not sure of anything."""

DENSE_MAX = 1024
"""Up to so many symbols the decomposition is of the whole matrix."""


def from_statistics(network: Network, space: Space) -> None:
    """Put the statistics into a network's embeddings, if its config asks for it."""
    if network.config.birth != "pmi":
        return
    frequency = space.counts.frequencies(space.vocabulary.size)
    seen = frequency > 0
    found = embeddings(space.counts, space.vocabulary.size, network.config.width)
    if not found.size:
        return
    found = STD * whitened(found, frequency / frequency.sum())
    longest = LONGEST * STD * found.shape[1] ** 0.5
    length = np.linalg.norm(found, axis=1, keepdims=True).clip(min=1e-12)
    found *= np.minimum(1.0, longest / length)
    with torch.no_grad():
        rows = torch.from_numpy(np.flatnonzero(seen))
        values = torch.from_numpy(found[seen].astype(np.float32))
        network.embed.weight[rows, : found.shape[1]] = values


def shifted_pmi(counts: Counts, size: int, shift: float = SHIFT) -> coo_array:
    """[V, V], symmetric: how much oftener than by chance two symbols are neighbours."""
    keys, weights = counts.grams[1].keys, counts.grams[1].counts.astype(np.float64)
    one = (keys >> np.uint64(counts.width)).astype(np.int64)
    two = (keys & np.uint64((1 << counts.width) - 1)).astype(np.int64)
    pairs = coo_array((weights, (one, two)), shape=(size, size))
    both = (pairs + pairs.T).tocoo()
    total, margin = both.sum(), np.asarray(both.sum(0)).ravel()
    ratio = both.data * total / (margin[both.coords[0]] * margin[both.coords[1]])
    value = np.maximum(0.0, np.log(ratio) - np.log(shift))
    return coo_array((value, both.coords), shape=(size, size))


def embeddings(counts: Counts, size: int, width: int) -> Reals:
    """[V, k]: U S^(1/2), the largest first; k is `width`, or less where the rank of M is."""
    matrix = shifted_pmi(counts, size)
    if size <= max(DENSE_MAX, 2 * width):
        u, s, _ = np.linalg.svd(matrix.toarray())
    else:
        u, s, _ = svds(matrix.tocsr(), k=width, v0=np.ones(size))
        u, s = u[:, ::-1], s[::-1]
    kept = s[:width] > 1e-9 * s[0] if s[0] else np.zeros(0, np.bool_)
    u, s = u[:, : len(kept)][:, kept], s[: len(kept)][kept]
    sign = np.sign(u[np.abs(u).argmax(0), np.arange(u.shape[1])]) if u.size else 1.0
    return np.asarray(u * sign * np.sqrt(s))


def whitened(rows: Reals, p: Reals) -> Reals:
    """[V, k]: mean 0 and covariance the identity, where a row counts as often as it is met."""
    centred = rows - p @ rows
    spread, axes = np.linalg.eigh((centred * p[:, None]).T @ centred)
    inverse = 1.0 / np.sqrt(np.maximum(spread, 1e-9 * spread.max()))
    return np.asarray(centred @ (axes * inverse) @ axes.T)

"""Vectors to codes and back: principal components, then k-means, then k-means of what is left.

The points are turned onto their `dims` strongest directions, which keeps nearly all their energy
and makes distances cheap; a code is the nearest centroid there. Each further level does the same
to the residual of the one before (residual vector quantisation): more bits, less error.

    code[n, l] = argmin_k | z[n] - sum_{i<l} book[i, code[n, i]] - book[l, k] |²
    z = (x - mean) turn,   x ≈ mean + z back

A `lens`, an invertible matrix, says what an error costs: distances are measured through it.

Shapes: N points of P numbers, D dims, L levels of K codes. mean [P], turn [P, D], back [D, P],
books [L, K, D].
Source: residual vector quantisation, Juang & Gray, "Multiple stage vector quantization for speech
coding", ICASSP 1982.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

Floats = NDArray[np.float32]

CHUNK = 8192  # rows at a time: the distances of a chunk stay in the cache of a laptop


@dataclass(frozen=True, slots=True)
class Quantiser:
    """Learnt directions and codebooks."""

    mean: Floats
    turn: Floats
    back: Floats
    books: Floats

    @property
    def levels(self) -> int:
        return self.books.shape[0]

    @property
    def codes(self) -> int:
        """How many codes each level has."""
        return self.books.shape[1]

    def nearest(self, points: Floats) -> NDArray[np.int32]:
        """[N, P] points to [N, L] codes."""
        found = np.empty((len(points), self.levels), np.int32)
        for start in range(0, len(points), CHUNK):
            centred = points[start : start + CHUNK] - self.mean
            rest = np.asarray(centred @ self.turn, np.float32)  # [n, D]
            for level, book in enumerate(self.books):
                codes = closest(rest, book)
                found[start : start + CHUNK, level] = codes
                rest = rest - book[codes]
        return found

    def points(self, codes: NDArray[np.int32]) -> Floats:
        """[N, L] codes to [N, P] points."""
        turned = self.books[np.arange(self.levels), codes].sum(1)  # [N, D]
        return turned @ self.back + self.mean

    @property
    def features(self) -> Floats:
        """[L * K, D]: every centroid where it lies, in units of its level's spread."""
        spread = self.books.std((1, 2), keepdims=True) + 1e-12
        return np.asarray((self.books / spread).reshape(-1, self.books.shape[2]), np.float32)

    @property
    def arrays(self) -> dict[str, Floats]:
        """All there is to write down; the constructor takes it back."""
        return {"mean": self.mean, "turn": self.turn, "back": self.back, "books": self.books}


def closest(points: Floats, book: Floats) -> NDArray[np.intp]:
    """[N, D] points to the index of the nearest of the [K, D] centroids, the first of equals."""
    half = 0.5 * np.square(book).sum(1)
    return np.argmax(points @ book.T - half, axis=1)


def fit(points: Floats, shape: tuple[int, int, int], seed: int, lens: Floats) -> Quantiser:
    """Learn from [N, P] points; the shape is (dims, codes, levels), the lens [P, P].

    On one thread: several add up in an order that changes with their number and, from three on,
    with every run, and points between two centroids go to the one or to the other by it.
    """
    with threadpool_limits(1):
        return _fit(points, shape, seed, lens)


def _fit(points: Floats, shape: tuple[int, int, int], seed: int, lens: Floats) -> Quantiser:
    dims, codes, levels = shape
    mean = points.mean(0, dtype=np.float64).astype(np.float32)
    seen = (points - mean) @ lens
    basis = directions(seen, dims)
    rest = seen @ basis
    books = np.empty((levels, codes, basis.shape[1]), np.float32)
    for level in range(levels):
        books[level] = centroids(rest, codes, seed + level)
        rest = rest - books[level][closest(rest, books[level])]
    back = basis.T @ np.linalg.inv(lens)
    return Quantiser(mean, lens @ basis, np.asarray(back, np.float32), books)


def centroids(points: Floats, codes: int, seed: int) -> Floats:
    """[K, D]: k-means from random points. Where there are fewer distinct ones, they repeat."""
    from sklearn.cluster import KMeans  # a second to import: only those who learn pay

    distinct = np.unique(points, axis=0)
    if len(distinct) <= codes:
        return np.resize(distinct, (codes, points.shape[1]))
    means = KMeans(codes, init="random", n_init=1, max_iter=15, tol=1e-3, random_state=seed).fit(
        points
    )
    return np.asarray(means.cluster_centers_, np.float32)


def directions(centred: Floats, dims: int) -> Floats:
    """[P, D]: the directions of most energy, strongest first; the largest entry is positive."""
    _, vectors = np.linalg.eigh(centred.T.astype(np.float64) @ centred)
    basis = vectors[:, ::-1][:, :dims]
    largest = np.take_along_axis(basis, abs(basis).argmax(0)[None], 0)
    return np.asarray(basis * np.sign(largest), np.float32)

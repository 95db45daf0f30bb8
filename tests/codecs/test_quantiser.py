"""The quantiser against brute force."""

import numpy as np
from threadpoolctl import threadpool_limits

from rankspace.codecs.quantiser import fit

POINTS = np.random.default_rng(0).normal(size=(3000, 6)).astype(np.float32)


def test_the_code_is_the_nearest_point() -> None:
    learnt = fit(POINTS, (6, 20, 1), 0, np.eye(6, dtype=np.float32))
    every = learnt.points(np.arange(20, dtype=np.int32)[:, None])
    distances = np.square(POINTS[:, None] - every[None]).sum(-1)
    assert np.array_equal(learnt.nearest(POINTS)[:, 0], distances.argmin(1))


def test_a_lens_says_what_an_error_costs() -> None:
    lens = np.diag([10, 1, 1, 1, 1, 1]).astype(np.float32)
    learnt = fit(POINTS, (6, 20, 1), 0, lens)
    error = np.square(learnt.points(learnt.nearest(POINTS)) - POINTS).mean(0)
    assert error[0] < 0.1 * error[1:].min()


def test_every_level_brings_points_closer() -> None:
    learnt = fit(POINTS, (6, 20, 3), 0, np.eye(6, dtype=np.float32))
    assert learnt.levels == 3
    assert learnt.codes == 20
    assert learnt.features.shape == (60, 6)
    codes = learnt.nearest(POINTS)
    assert np.square(learnt.points(codes) - POINTS).mean() < 0.5 * np.square(POINTS).mean()


def test_learning_twice_gives_the_same() -> None:
    first, second = (fit(POINTS, (4, 30, 2), 7, np.eye(6, dtype=np.float32)) for _ in range(2))
    assert np.array_equal(first.books, second.books)


def test_learning_gives_the_same_on_any_number_of_threads() -> None:
    points = np.random.default_rng(1).normal(size=(20_000, 24)).astype(np.float32)
    learnt = []
    for threads in (1, 2, 4, 4, 8):  # more than the cores there are will do
        with threadpool_limits(threads):
            learnt.append(fit(points, (12, 64, 2), 7, np.eye(24, dtype=np.float32)))
    assert all(np.array_equal(learnt[0].books, each.books) for each in learnt)
    assert all(np.array_equal(learnt[0].turn, each.turn) for each in learnt)

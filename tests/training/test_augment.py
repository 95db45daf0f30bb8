"""Other views: the same at the same seed, of the same shape and range, and still of the same."""

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st

from rankspace.codecs.audio import mel
from rankspace.training import augment
from tests.worlds import picture, tone


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


CANVASES = np.stack([picture(seed, 16) for seed in range(3)])
MEL = mel(tone(440, 0.5))


@given(st.integers(0, 2**40), st.integers(1, 5), st.integers(1, 3))
def test_pictures_keep_their_shape_and_follow_from_the_seed(
    seed: int, views: int, count: int
) -> None:
    seen = augment.pictures(CANVASES[:count], views, seeded(seed))
    assert seen.shape == (views, count, 16, 16, 3)
    assert seen.dtype == np.uint8
    assert np.array_equal(seen, augment.pictures(CANVASES[:count], views, seeded(seed)))


def test_views_differ_from_each_other_and_from_what_was_sent() -> None:
    seen = augment.pictures(CANVASES[:1], 5, seeded(0))
    assert len({view.tobytes() for view in (*seen[:, 0], CANVASES[0])}) == 6


def test_a_view_is_nearer_to_its_own_picture_than_to_another() -> None:
    random = np.random.default_rng(0)
    seeds = random.integers(0, 1000, 20).tolist()
    flat = np.stack([np.full((16, 16, 3), level, np.uint8) for level in (40, 220)])
    for seed in seeds:
        dark, bright = augment.pictures(flat, 1, seeded(seed))[0].astype(float)
        assert dark.mean() < bright.mean()


def test_one_view_bends_all_frames_of_a_clip_alike() -> None:
    twice = np.stack([CANVASES[0], CANVASES[0]])
    one, two = augment.pictures(twice, 1, seeded(3))[0].astype(float)
    assert abs(one - two).mean() < 255 * augment.NOISE  # apart from the noise of each frame


@given(st.integers(0, 2**40), st.integers(1, 4))
def test_sounds_keep_their_bands_and_follow_from_the_seed(seed: int, views: int) -> None:
    seen = augment.sounds(MEL, views, seeded(seed))
    assert len(seen) == views
    for one, two in zip(seen, augment.sounds(MEL, views, seeded(seed)), strict=True):
        assert np.array_equal(one, two)
        assert one.dtype == np.float32
        assert one.shape[1] == MEL.shape[1]
        assert len(one) % 4 == 0
        tempo = len(one) / len(MEL)
        assert np.exp(-augment.TEMPO) - 0.1 < tempo < np.exp(augment.TEMPO) + 0.1
        assert np.isfinite(one).all()
        assert one.max() < MEL.max() + augment.LEVEL_DB + augment.TILT_DB + 10


def test_sounds_differ_from_each_other() -> None:
    assert len({view.tobytes() for view in augment.sounds(MEL, 6, seeded(0))}) == 6

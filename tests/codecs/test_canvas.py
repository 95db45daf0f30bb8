"""The canvas: any picture becomes one square; blurs and tiles are plain means and cuts of it."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from rankspace.codecs.canvas import BLUR, WHITE, blurred, canvas, tiles

SIZES = st.integers(1, 70)


def noise(*shape: int) -> NDArray[np.uint8]:
    return np.random.default_rng(0).integers(0, 256, shape, np.uint8)


@given(SIZES, SIZES, st.integers(4, 32))
def test_every_picture_fits_and_is_centred_on_white(height: int, width: int, side: int) -> None:
    square = canvas(np.zeros((height, width, 3), np.uint8), side)
    assert square.shape == (side, side, 3)
    assert square.dtype == np.uint8
    drawn = square[:, :, 0] < WHITE
    for axis in (0, 1):
        seen = np.flatnonzero(drawn.any(axis))
        before, after = seen[0], side - 1 - seen[-1]
        assert 0 <= after - before <= 1
    assert drawn.any(0).all() or drawn.any(1).all()


@given(SIZES, SIZES, st.integers(4, 32))
def test_a_canvas_of_a_canvas_is_that_canvas(height: int, width: int, side: int) -> None:
    square = canvas(noise(height, width, 3), side)
    assert np.array_equal(canvas(square, side), square)


@given(st.integers(1, 4), st.sampled_from([1, 2, 4, 8]))
def test_tiles_are_the_picture_cut_in_raster_order(count: int, tile: int) -> None:
    pictures = noise(count, 8, 8, 3)
    told = [
        picture[y : y + tile, x : x + tile].ravel()
        for picture in pictures
        for y in range(0, 8, tile)
        for x in range(0, 8, tile)
    ]
    assert np.array_equal(tiles(pictures, tile), np.array(told, np.float32))


@pytest.mark.parametrize("side", [8, 16, 32, 36])
def test_a_blur_is_the_means_of_squares(side: int) -> None:
    pictures, step = noise(3, side, side, 3), side // BLUR
    told = [
        picture[y * step : (y + 1) * step, x * step : (x + 1) * step].mean((0, 1))
        for picture in pictures
        for y in range(side // step)
        for x in range(side // step)
    ]
    np.testing.assert_allclose(blurred(pictures).reshape(-1, 3), told, rtol=1e-5)


def test_a_picture_smaller_than_the_blur_is_left_sharp() -> None:
    pictures = noise(2, 4, 4, 3)
    assert np.array_equal(blurred(pictures), pictures.reshape(2, -1).astype(np.float32))

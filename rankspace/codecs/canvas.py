"""The square that every picture is brought to before it becomes symbols.

Shapes: pictures uint8 [H, W, 3]; canvases uint8 [N, S, S, 3].
"""

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from rankspace.codecs.quantiser import Floats

Pixels = NDArray[np.uint8]

WHITE = 255
BLUR = 8
"""Side of the picture that a gist is taken of."""


def canvas(pixels: Pixels, side: int) -> Pixels:
    """[H, W, 3] to [side, side, 3]: scaled to fit, centred on white."""
    height, width = pixels.shape[:2]
    if height == width == side:
        return pixels
    scale = side / max(height, width)
    tall, wide = max(1, round(height * scale)), max(1, round(width * scale))
    how = Image.Resampling.BOX if scale < 1 else Image.Resampling.BILINEAR
    scaled = Image.fromarray(np.ascontiguousarray(pixels)).resize((wide, tall), how)
    square = np.full((side, side, 3), WHITE, np.uint8)
    top, left = (side - tall) // 2, (side - wide) // 2
    square[top : top + tall, left : left + wide] = np.asarray(scaled)
    return square


def blurred(canvases: Pixels) -> Floats:
    """[N, S, S, 3] to [N, 3 · BLUR²]: means of squares."""
    count, side = canvases.shape[:2]
    step = max(1, side // BLUR)
    cut = canvases[:, : side // step * step, : side // step * step]
    squares = cut.reshape(count, side // step, step, side // step, step, 3)
    return squares.mean((2, 4), dtype=np.float32).reshape(count, -1)


def tiles(canvases: Pixels, tile: int) -> Floats:
    """[N, S, S, 3] to [N · (S / tile)², 3 · tile²], in raster order."""
    count, side = canvases.shape[:2]
    cut = canvases.reshape(count, side // tile, tile, side // tile, tile, 3)
    return cut.transpose(0, 1, 3, 2, 4, 5).reshape(-1, 3 * tile**2).astype(np.float32)

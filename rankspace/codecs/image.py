"""Pictures as tiles: a letterboxed square canvas, cut into tiles, each the nearest of a learnt set.

A picture is scaled to fit a canvas of side S (area average when it shrinks, bilinear when it
grows) and padded with white; the canvas is cut into tiles of side p, and every tile becomes one
symbol per level in raster order, so a picture is always (S/p)² · levels symbols. Tiles are learnt
by PCA and k-means on tiles drawn busy ones first, so that backgrounds do not own the codebook.
Lost for good: size and aspect ratio, what is finer than the canvas, and what the tiles miss.

    symbol[(y · S/p + x) · levels + l] = l · codes + argmin_k | A (tile[y, x] - tile_k) |²

A weighs errors as eyes do in a small picture: a wrong colour and a wrong mean stand out more than
a wrong texture. Learn from pictures as the model will see them: augmented, if those are.

Shapes: pictures uint8 [H, W, 3]; canvases uint8 [N, S, S, 3]; symbols int32 [N, cycle].
The encoder holds a picture until `finish`, for only then its height is known; the decoder gives
rows of pixels as soon as a row of tiles is complete.
Source: vector quantisation of image blocks, Gersho & Gray, "Vector Quantization and Signal
Compression" (1992), ch. 9 and 12.
"""

from collections.abc import Iterable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from pydantic import Field, model_validator

from rankspace.codecs import files
from rankspace.codecs.base import Symbols
from rankspace.codecs.quantiser import Floats, Quantiser, fit
from rankspace.config import Config, parse
from rankspace.errors import InvalidInput, MalformedMedia
from rankspace.media.sample import Modality

Pixels = NDArray[np.uint8]

WHITE = 255


class ImageConfig(Config):
    """The grid and its alphabet."""

    side: int = Field(default=32, ge=4, le=512)
    """Side S of the canvas, in pixels; a multiple of `tile`."""

    tile: int = Field(default=4, ge=1, le=32)
    """Side p of a tile, in pixels."""

    codes: int = Field(default=512, ge=2, le=65536)
    """How many tiles each level knows."""

    levels: int = Field(default=1, ge=1, le=8)
    """Symbols a tile: every level codes what the ones before it left over."""

    dims: int = Field(default=16, ge=1)
    """Directions of a tile that are kept; at most 3 p²."""

    colour_weight: float = Field(default=2.0, gt=0)
    """What an error of hue costs, against one of brightness."""

    mean_weight: float = Field(default=1.5, gt=0)
    """What an error of a whole tile costs, against one of its texture."""

    tiles_max: int = Field(default=30_000, ge=1)
    """How many tiles to learn from."""

    seed: int = 0
    """Of the draw of tiles and of k-means."""

    @model_validator(mode="after")
    def _tiles_fill_the_canvas(self) -> "ImageConfig":
        if self.side % self.tile:
            raise ValueError(f"side {self.side} is not a multiple of tile {self.tile}")
        if self.dims > 3 * self.tile**2:
            raise ValueError(f"a tile of side {self.tile} has only {3 * self.tile**2} dims")
        return self


class ImageCodec:
    """Pictures to symbols and back."""

    name: Modality = "image"

    def __init__(self, config: ImageConfig, quantiser: Quantiser) -> None:
        self.config = config
        self.quantiser = quantiser
        self.grid = config.side // config.tile
        self.size = config.levels * config.codes
        self.cycle = self.grid**2 * config.levels
        self.features = quantiser.features
        self.layout = (("image", self.size),)
        self.slots = tuple(
            range(level * config.codes, (level + 1) * config.codes)
            for level in range(config.levels)
        )

    @classmethod
    def fit(cls, media: Iterable[Pixels], config: ImageConfig | None = None) -> "ImageCodec":
        """Learn the tiles from pictures."""
        config = config or ImageConfig()
        tiles = _drawn(media, config)
        shape = (config.dims, config.codes, config.levels)
        return cls(config, fit(tiles, shape, config.seed, _lens(config)))

    @property
    def hash(self) -> str:
        """A name for this very codec, for caches."""
        return files.digest(*self._state())

    def encoder(self) -> "Encoder":
        return Encoder(self)

    def decoder(self) -> "Decoder":
        return Decoder(self)

    def canvas(self, pixels: Pixels) -> Pixels:
        """[H, W, 3] to [S, S, 3]: scaled to fit, centred on white."""
        return canvas(pixels, self.config.side)

    def encode_many(self, canvases: Pixels) -> Symbols:
        """[N, S, S, 3] to [N, cycle]."""
        config = self.config
        codes = self.quantiser.nearest(_tiles(canvases, config.tile))  # [N * grid², levels]
        offsets = np.arange(config.levels, dtype=np.int32) * config.codes
        return (codes + offsets).reshape(len(canvases), self.cycle)

    def decode_many(self, symbols: Symbols) -> Pixels:
        """[N, cycle] to [N, S, S, 3]; or of whole rows of tiles to their rows of pixels."""
        config = self.config
        count, tall = len(symbols), symbols.shape[1] // (self.grid * config.levels)
        codes = (symbols % config.codes).reshape(-1, config.levels)
        tiles = self.quantiser.points(codes)
        cut = tiles.reshape(count, tall, self.grid, config.tile, config.tile, 3)
        rows = cut.transpose(0, 1, 3, 2, 4, 5).reshape(count, -1, config.side, 3)
        return np.asarray(np.clip(np.rint(rows), 0, 255), np.uint8)

    def save(self, folder: Path) -> None:
        files.write(folder, self.name, *self._state())

    @classmethod
    def load(cls, folder: Path) -> "ImageCodec":
        settings, arrays = files.read(folder, cls.name)
        return cls(parse(ImageConfig, settings), Quantiser(**arrays))

    def _state(self) -> tuple[dict[str, object], dict[str, Floats]]:
        return self.config.model_dump(), self.quantiser.arrays


class Encoder:
    """Rows of one picture, cut anywhere; its symbols come at the end."""

    def __init__(self, codec: ImageCodec) -> None:
        self._codec = codec
        self._rows: list[Pixels] = []

    def push(self, piece: Pixels, /) -> Symbols:
        if piece.ndim != 3 or piece.shape[2] != 3:
            raise InvalidInput("pixels must come as rows [height, width, 3] of RGB")
        if self._rows and piece.shape[1] != self._rows[0].shape[1]:
            raise MalformedMedia("all rows of a picture must have one width")
        self._rows.append(piece)
        return np.zeros(0, np.int32)

    def finish(self) -> Symbols:
        if not sum(rows.size for rows in self._rows):
            return np.zeros(0, np.int32)
        picture = np.concatenate(self._rows)
        return self._codec.encode_many(self._codec.canvas(picture)[None])[0]


class Decoder:
    """Symbols of one picture, cut anywhere; each complete row of tiles comes at once."""

    def __init__(self, codec: ImageCodec) -> None:
        self._codec = codec
        self._held = np.zeros(0, np.int32)
        self._seen = 0

    def push(self, piece: Symbols, /) -> Pixels:
        codec = self._codec
        self._seen += len(piece)
        if self._seen > codec.cycle:
            raise MalformedMedia(f"a picture has {codec.cycle} symbols, not more")
        if len(piece) and not (piece.min() >= 0 and piece.max() < codec.size):
            raise MalformedMedia(f"a symbol of a picture must lie in [0, {codec.size})")
        held = np.concatenate([self._held, piece])
        a_row = codec.cycle // codec.grid
        whole = len(held) // a_row * a_row
        self._held = held[whole:]
        # One row at a time, always in the same shape: sums must not depend on the cut.
        rows = [codec.decode_many(row[None])[0] for row in held[:whole].reshape(-1, a_row)]
        return np.concatenate([np.zeros((0, codec.config.side, 3), np.uint8), *rows])

    def finish(self) -> Pixels:
        """Nothing more: all complete rows are out. A picture that stops midway is malformed."""
        if self._seen % self._codec.cycle:
            raise MalformedMedia(
                f"a picture has {self._codec.cycle} symbols; this one stops after {self._seen}"
            )
        return np.zeros((0, self._codec.config.side, 3), np.uint8)


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


def _tiles(canvases: Pixels, tile: int) -> Floats:
    """[N, S, S, 3] to [N · (S / tile)², 3 · tile²], in raster order."""
    count, side = canvases.shape[:2]
    cut = canvases.reshape(count, side // tile, tile, side // tile, tile, 3)
    return cut.transpose(0, 1, 3, 2, 4, 5).reshape(-1, 3 * tile**2).astype(np.float32)


def _lens(config: ImageConfig) -> Floats:
    """[3 p², 3 p²]: what an error in each direction of a tile costs."""
    colours = np.array([[1, 1, 1], [1, 0, -1], [1, -2, 1]]) / np.sqrt([[3], [2], [6]])
    weigh = colours.T @ np.diag([1.0, config.colour_weight, config.colour_weight]) @ colours
    pixels = config.tile**2
    even = np.full((pixels, pixels), 1 / pixels)
    lift = np.eye(pixels) + (config.mean_weight - 1) * even
    return np.kron(lift, weigh).astype(np.float32)


def _drawn(media: Iterable[Pixels], config: ImageConfig) -> Floats:
    """[n, 3 p²] tiles to learn from, at most `tiles_max`, busy ones more likely."""
    canvases = [canvas(picture, config.side) for picture in media]
    if not canvases:
        raise InvalidInput("there is no picture to learn from")
    tiles = _tiles(np.stack(canvases), config.tile)
    if len(tiles) <= config.tiles_max:
        return tiles
    weight = tiles.std(1) + 1.0
    random = np.random.default_rng(config.seed)
    return tiles[random.choice(len(tiles), config.tiles_max, False, weight / weight.sum())]

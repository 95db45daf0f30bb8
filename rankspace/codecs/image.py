"""Pictures as tiles: a letterboxed square canvas, cut into tiles, each the nearest of a learnt set.

A picture is scaled to fit a canvas of side S (area average when it shrinks, bilinear when it
grows) and padded with white; the canvas is cut into tiles of side p, and every tile becomes one
symbol per level in raster order, so a picture is always (S/p)² · levels symbols. Tiles are learnt
by PCA and k-means on tiles drawn busy ones first, so that backgrounds do not own the codebook.
Lost for good: size and aspect ratio, what is finer than the canvas, and what the tiles miss.

    symbol[(y · S/p + x) · levels + l] = l · codes + argmin_k | A (tile[y, x] - tile_k) |²

With `gists`, one symbol of the whole picture goes first: the nearest of a learnt set of blurred
pictures. It adds nothing to what is drawn; it tells a model that reads or draws symbol by symbol
what the tiles are going to be.

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
from pydantic import Field, model_validator

from rankspace.codecs import files
from rankspace.codecs.base import Symbols
from rankspace.codecs.canvas import Pixels, blurred, canvas, tiles
from rankspace.codecs.quantiser import Floats, Quantiser, fit
from rankspace.config import Config, parse
from rankspace.errors import InvalidInput, MalformedMedia
from rankspace.media.sample import Modality

GIST = "gist_"  # before the names of the gist's arrays in a file
GIST_DIMS = 32


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

    gists: int = Field(default=0, ge=0, le=65536)
    """How many whole pictures are known by their gist; 0 sends none."""

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


class ImageCodec(files.Kept):
    """Pictures to symbols and back."""

    name: Modality = "image"

    def __init__(
        self, config: ImageConfig, quantiser: Quantiser, gist: Quantiser | None = None
    ) -> None:
        self.config = config
        self.quantiser = quantiser
        self.gist = gist
        self.grid = config.side // config.tile
        self.lead = 1 if gist else 0  # symbols before the first tile
        self.size = config.gists + config.levels * config.codes
        self.cycle = self.lead + self.grid**2 * config.levels
        self.layout = (("image", self.size),)
        levels = tuple(
            range(start, start + config.codes)
            for start in range(config.gists, self.size, config.codes)
        )
        self.slots = (range(config.gists), *(levels * self.grid**2)) if gist else levels

    @classmethod
    def fit(cls, media: Iterable[Pixels], config: ImageConfig | None = None) -> "ImageCodec":
        """Learn the tiles from pictures."""
        config = config or ImageConfig()
        seen = [canvas(pixels, config.side) for pixels in media]
        if not seen:
            raise InvalidInput("there is no picture to learn from")
        pictures = np.stack(seen)
        shape = (config.dims, config.codes, config.levels)
        quantiser = fit(_drawn(pictures, config), shape, config.seed, _lens(config))
        if not config.gists:
            return cls(config, quantiser)
        small = blurred(pictures)
        shape = (min(GIST_DIMS, small.shape[1]), config.gists, 1)
        even = np.eye(small.shape[1], dtype=np.float32)
        return cls(config, quantiser, fit(small, shape, config.seed, even))

    @property
    def features(self) -> Floats:
        """[size, F]: where a tile lies; where a gist lies, in columns of its own."""
        tiles = self.quantiser.features
        if self.gist is None:
            return tiles
        gists = self.gist.features
        wide, tall = np.zeros((len(gists), tiles.shape[1])), np.zeros((len(tiles), gists.shape[1]))
        return np.block([[gists, wide], [tall, tiles]]).astype(np.float32)

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
        codes = self.quantiser.nearest(tiles(canvases, config.tile))  # [N * grid², levels]
        offsets = np.arange(config.levels, dtype=np.int32) * config.codes + config.gists
        drawn = (codes + offsets).reshape(len(canvases), -1)
        if self.gist is None:
            return drawn
        gists = self.gist.nearest(blurred(canvases)).astype(np.int32)
        return np.concatenate([gists, drawn], axis=1)

    def decode_many(self, symbols: Symbols) -> Pixels:
        """[N, cycle] to [N, S, S, 3]."""
        return self._rows(symbols[:, self.lead :])

    def _rows(self, symbols: Symbols) -> Pixels:
        """[N, ...] of whole rows of tiles to their rows of pixels."""
        config = self.config
        count, tall = len(symbols), symbols.shape[1] // (self.grid * config.levels)
        codes = ((symbols - config.gists) % config.codes).reshape(-1, config.levels)
        tiles = self.quantiser.points(codes)
        cut = tiles.reshape(count, tall, self.grid, config.tile, config.tile, 3)
        rows = cut.transpose(0, 1, 3, 2, 4, 5).reshape(count, -1, config.side, 3)
        return np.asarray(np.clip(np.rint(rows), 0, 255), np.uint8)

    @classmethod
    def load(cls, folder: Path) -> "ImageCodec":
        settings, arrays = files.read(folder, cls.name)
        config = parse(ImageConfig, settings)
        gist = {
            name[len(GIST) :]: arrays.pop(name) for name in list(arrays) if name.startswith(GIST)
        }
        return cls(config, Quantiser(**arrays), Quantiser(**gist) if config.gists else None)

    def _state(self) -> tuple[dict[str, object], dict[str, Floats]]:
        arrays = self.quantiser.arrays
        if self.gist:
            arrays |= {GIST + name: value for name, value in self.gist.arrays.items()}
        return self.config.model_dump(), arrays


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
        first = max(0, codec.lead - (self._seen - len(piece)))
        held = np.concatenate([self._held, piece[first:]])
        a_row = codec.grid * codec.config.levels
        whole = len(held) // a_row * a_row
        self._held = held[whole:]
        # One row at a time, always in the same shape: sums must not depend on the cut.
        rows = [codec._rows(row[None])[0] for row in held[:whole].reshape(-1, a_row)]
        return np.concatenate([np.zeros((0, codec.config.side, 3), np.uint8), *rows])

    def finish(self) -> Pixels:
        """Nothing more: all complete rows are out. A picture that stops midway is malformed."""
        if self._seen % self._codec.cycle:
            raise MalformedMedia(
                f"a picture has {self._codec.cycle} symbols; this one stops after {self._seen}"
            )
        return np.zeros((0, self._codec.config.side, 3), np.uint8)


def _lens(config: ImageConfig) -> Floats:
    """[3 p², 3 p²]: what an error in each direction of a tile costs."""
    colours = np.array([[1, 1, 1], [1, 0, -1], [1, -2, 1]]) / np.sqrt([[3], [2], [6]])
    weigh = colours.T @ np.diag([1.0, config.colour_weight, config.colour_weight]) @ colours
    pixels = config.tile**2
    even = np.full((pixels, pixels), 1 / pixels)
    lift = np.eye(pixels) + (config.mean_weight - 1) * even
    return np.kron(lift, weigh).astype(np.float32)


def _drawn(canvases: Pixels, config: ImageConfig) -> Floats:
    """[n, 3 p²] tiles to learn from, at most `tiles_max`, busy ones more likely."""
    found = tiles(canvases, config.tile)
    if len(found) <= config.tiles_max:
        return found
    weight = found.std(1) + 1.0
    random = np.random.default_rng(config.seed)
    return found[random.choice(len(found), config.tiles_max, False, weight / weight.sum())]

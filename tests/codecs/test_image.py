"""Pictures: the canvas, the batch against the stream, and what the tiles must show."""

import numpy as np
import pytest

from rankspace.codecs.base import decode, encode
from rankspace.codecs.canvas import canvas
from rankspace.codecs.image import ImageCodec, ImageConfig
from rankspace.config import parse
from rankspace.errors import InvalidConfig, InvalidInput, MalformedMedia

random = np.random.default_rng(0)
PICTURES = random.integers(0, 256, (30, 4, 6, 3), np.uint8).repeat(5, 1).repeat(5, 2)
CODEC = ImageCodec.fit(PICTURES, ImageConfig(side=16, codes=64, dims=12))
GISTS = ImageCodec.fit(PICTURES, ImageConfig(side=16, codes=64, dims=12, gists=8))


def test_a_canvas_of_its_own_size_is_left_alone() -> None:
    square = random.integers(0, 256, (16, 16, 3), np.uint8)
    assert np.array_equal(canvas(square, 16), square)


@pytest.mark.parametrize(("height", "width"), [(64, 32), (3, 90), (1, 1), (1, 500)])
def test_any_shape_is_fitted_onto_white(height: int, width: int) -> None:
    square = canvas(np.zeros((height, width, 3), np.uint8), 16)
    dark = square[:, :, 0] == 0
    assert square.shape == (16, 16, 3)
    assert dark.any(0).sum() == max(1, round(16 * width / max(height, width)))
    assert dark.any(1).sum() == max(1, round(16 * height / max(height, width)))
    assert (square[~dark] == 255).all()


def test_shrinking_keeps_the_mean() -> None:
    picture = random.integers(0, 256, (64, 64, 3), np.uint8)
    assert abs(canvas(picture, 16).mean() - picture.mean()) < 0.6


def test_the_batch_says_what_the_stream_says() -> None:
    canvases = np.stack([CODEC.canvas(picture) for picture in PICTURES])
    streamed = [encode(CODEC, [picture]) for picture in PICTURES]
    assert np.array_equal(CODEC.encode_many(canvases), streamed)
    for symbols, batch in zip(streamed, CODEC.decode_many(np.stack(streamed)), strict=True):
        rows = decode(CODEC, [symbols])
        assert np.array_equal(batch, np.concatenate(rows))


def test_few_tiles_are_learnt_by_heart() -> None:
    flat = np.arange(0, 256, 17).astype(np.uint8).repeat(16).reshape(16, 16, 1).repeat(3, 2)
    codec = ImageCodec.fit([flat], ImageConfig(side=16, codes=64, dims=48))
    assert np.array_equal(codec.decode_many(codec.encode_many(flat[None]))[0], flat)


def test_a_second_level_brings_the_picture_closer() -> None:
    canvases = np.stack([CODEC.canvas(picture) for picture in PICTURES])
    finer = ImageCodec.fit(PICTURES, ImageConfig(side=16, codes=64, dims=12, levels=2))
    errors = [
        np.square(codec.decode_many(codec.encode_many(canvases)) - canvases.astype(float)).mean()
        for codec in (CODEC, finer)
    ]
    assert finer.cycle == 2 * CODEC.cycle
    assert errors[1] < 0.75 * errors[0]
    symbols = finer.encode_many(canvases)
    assert np.mean(finer.encode_many(finer.decode_many(symbols)) == symbols) > 0.9


def test_rows_leave_as_soon_as_their_tiles_are_in() -> None:
    symbols = encode(CODEC, [PICTURES[0]])
    decoder = CODEC.decoder()
    assert [len(decoder.push(symbols[i : i + 1])) for i in range(8)] == [0, 0, 0, 4, 0, 0, 0, 4]


def test_a_gist_goes_first_and_changes_no_tile() -> None:
    for picture in PICTURES[:5]:
        gist, *tiles = encode(GISTS, [picture]).tolist()
        assert 0 <= gist < 8
        assert tiles == (encode(CODEC, [picture]) + 8).tolist()
    assert GISTS.cycle == 1 + CODEC.cycle
    assert GISTS.size == 8 + CODEC.size


def test_a_gist_draws_nothing() -> None:
    symbols = np.stack([encode(GISTS, [PICTURES[0]])] * 8)
    symbols[:, 0] = np.arange(8)
    drawn = GISTS.decode_many(symbols)
    assert (drawn == drawn[0]).all()
    assert np.array_equal(drawn[0], CODEC.decode_many(encode(CODEC, [PICTURES[0]])[None])[0])
    decoder = GISTS.decoder()
    assert [len(decoder.push(symbols[0][i : i + 1])) for i in range(6)] == [0, 0, 0, 0, 4, 0]


def test_pictures_that_look_alike_from_afar_have_one_gist() -> None:
    canvases = np.stack([GISTS.canvas(picture) for picture in PICTURES])
    checks = np.indices((16, 16)).sum(0)[..., None] % 2 * 8 - 4  # gone when four pixels are one
    noisy = np.clip(canvases.astype(int) + checks, 0, 255).astype(np.uint8)
    same = GISTS.encode_many(canvases)[:, 0] == GISTS.encode_many(noisy)[:, 0]
    assert same.mean() > 0.9
    assert len(set(GISTS.encode_many(canvases)[:, 0].tolist())) > 4


def test_features_of_gists_and_tiles_lie_apart() -> None:
    table = GISTS.features
    width = GISTS.quantiser.features.shape[1]
    tiles, gists = np.any(table[8:], 0), np.any(table[:8], 0)
    assert not (tiles & gists).any()
    assert np.array_equal(table[8:, -width:] if tiles[-1] else table[8:, :width], CODEC.features)


def test_ragged_rows_and_grey_rows_are_refused() -> None:
    encoder = CODEC.encoder()
    encoder.push(np.zeros((2, 5, 3), np.uint8))
    with pytest.raises(MalformedMedia, match="one width"):
        encoder.push(np.zeros((2, 6, 3), np.uint8))
    with pytest.raises(InvalidInput, match="RGB"):
        CODEC.encoder().push(np.zeros((2, 6), np.uint8))


def test_more_symbols_than_a_picture_has_are_refused() -> None:
    with pytest.raises(MalformedMedia, match="16 symbols"):
        CODEC.decoder().push(np.zeros(17, np.int32))


def test_a_canvas_that_tiles_do_not_fill_is_refused() -> None:
    with pytest.raises(InvalidConfig, match="multiple"):
        parse(ImageConfig, {"side": 30})
    with pytest.raises(InvalidConfig, match="dims"):
        parse(ImageConfig, {"tile": 2})


def test_nothing_to_learn_from_is_refused() -> None:
    with pytest.raises(InvalidInput, match="no picture"):
        ImageCodec.fit([])

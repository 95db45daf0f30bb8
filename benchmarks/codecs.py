"""What do the codecs cost and keep: bits, error, and what a recogniser still recognises?

    python -m benchmarks.codecs

Judges are trained on real media only and asked about real media and about the same after a round
trip through symbols. The quantiser is compared with those of vector-quantize-pytorch at the same
rate (512 codes) and the same time to learn. One thread; the built-in sample, or RANKSPACE_DATA.
"""

import json
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from scipy.ndimage import gaussian_filter
from sklearn.svm import SVC
from vector_quantize_pytorch import FSQ, ResidualVQ

from benchmarks import media
from rankspace.codecs.audio import AudioCodec, mel
from rankspace.codecs.base import Symbols, decode, encode
from rankspace.codecs.canvas import canvas
from rankspace.codecs.image import ImageCodec, ImageConfig
from rankspace.codecs.text import TextCodec

Row = dict[str, float]
Floats = NDArray[np.float32]


def timed(work: Callable[..., Any], *given: Any) -> tuple[Any, float]:
    """What the work returns, and the seconds it took."""
    start = time.perf_counter()
    return work(*given), time.perf_counter() - start


def entropy(symbols: Symbols) -> float:
    """Bits a symbol, if each is coded alone."""
    counts = np.unique(symbols, return_counts=True)[1]
    return float(-np.log2(counts / counts.sum()) @ counts / counts.sum())


def psnr(first: media.Pixels, second: media.Pixels) -> float:
    """Peak signal to noise in dB."""
    return float(10 * np.log10(255**2 / np.square(first.astype(float) - second).mean()))


def ssim(first: media.Pixels, second: media.Pixels) -> float:
    """Mean structural similarity of luma, Gaussian window of 1.5 pixels (Wang et al. 2004)."""

    def mean(picture: NDArray[np.float64]) -> NDArray[np.float64]:
        return gaussian_filter(picture, (0, 1.5, 1.5), truncate=3.5)

    a, b = (pixels @ np.array([0.299, 0.587, 0.114]) for pixels in (first, second))
    across = mean(a * b) - mean(a) * mean(b)
    within = mean(a * a) - mean(a) ** 2 + mean(b * b) - mean(b) ** 2
    light = (2 * mean(a) * mean(b) + 6.5) / (mean(a) ** 2 + mean(b) ** 2 + 6.5)
    return float((light * (2 * across + 58.5) / (within + 58.5)).mean())


def images(config: ImageConfig) -> Row:
    """Handwritten digits and photos through the image codec."""
    (learnt, _), (judged, said), (asked, truth) = media.written_digits(2000, 6000, 1000)
    photos = media.photos()
    codec, fit_s = timed(ImageCodec.fit, [*learnt, *photos[20:]], config)
    digits = np.stack([codec.canvas(pixels) for pixels in asked])
    stills = np.stack([codec.canvas(pixels) for pixels in photos])
    symbols, encode_s = timed(codec.encode_many, digits)
    back, decode_s = timed(codec.decode_many, symbols)
    seen = codec.encode_many(stills)
    shown = codec.decode_many(seen)
    judge = SVC(C=5).fit(_small(judged), said)
    return {
        "symbols/picture": codec.cycle,
        "bits/symbol": np.log2(codec.size),
        "entropy digits": entropy(symbols),
        "entropy photos": entropy(seen),
        "bits/pixel": np.log2(codec.config.codes) * codec.cycle / config.side**2,
        "psnr digits": psnr(digits, back),
        "psnr photos": psnr(stills[20:], shown[20:]),
        "psnr new photos": psnr(stills[:20], shown[:20]),
        "ssim digits": ssim(digits, back),
        "ssim photos": ssim(stills, shown),
        "judge real": judge.score(_small(asked), truth),
        "judge canvas": judge.score(_small(digits), truth),
        "judge round trip": judge.score(_small(back), truth),
        "symbols kept": float((codec.encode_many(back) == symbols).mean()),
        "fit s": fit_s,
        "encode pictures/s": len(digits) / encode_s,
        "decode pictures/s": len(digits) / decode_s,
    }


def _small(pictures: media.Pixels) -> Floats:
    """What the judge of digits sees: 28 x 28 numbers."""
    sized = [
        np.asarray(Image.fromarray(pixels).resize((28, 28), Image.Resampling.BOX))[..., 0]
        for pixels in pictures
    ]
    return np.asarray(np.stack(sized).reshape(len(pictures), -1) / 255, np.float32)


def sounds() -> Row:
    """Speech and sound effects through the audio codec."""
    known, asked = media.spoken_digits()
    speech, effects = media.speech(), media.effects()
    learnt = [wave for wave, _ in known] + speech + effects
    codec, fit_s = timed(AudioCodec.fit, learnt)
    waves = [wave for wave, _ in asked] or speech
    seconds = sum(map(len, waves)) / 16_000
    symbols, encode_s = timed(lambda: [encode(codec, [wave]) for wave in waves])
    back, decode_s = timed(lambda: [_heard(codec, part) for part in symbols])
    again = [encode(codec, [wave]) for wave in back]
    row = {
        "symbols/s": 50.0,
        "bits/symbol": (np.log2(codec.config.gains) + np.log2(codec.config.codes)) / 2,
        "entropy gains": entropy(np.concatenate([part[::2] for part in symbols])),
        "entropy shapes": entropy(np.concatenate([part[1::2] for part in symbols])),
        "distance dB": _mean(distance(mel(a), mel(b)) for a, b in zip(waves, back, strict=True)),
        "distance effects dB": _mean(
            distance(mel(a), codec.restore(codec.quantise(mel(a)))) for a in effects
        ),
        "same recording found": _found(speech, codec),
        "shapes kept": _mean(
            (a == b)[1::2].mean() for a, b in zip(symbols, again, strict=True) if len(a)
        ),
        "shapes kept 12 dB down": _mean(map(_invariance(codec), waves)),
        "fit s": fit_s,
        "encode s/s": seconds / encode_s,
        "decode s/s": seconds / decode_s,
    }
    return row | (_judged(known, asked, back) if asked else {})


def _judged(known: list[Any], asked: list[Any], back: list[Floats]) -> Row:
    judge = SVC(C=10).fit([_steps(wave) for wave, _ in known], [word for _, word in known])
    truth = [word for _, word in asked]
    return {
        "judge real": judge.score([_steps(wave) for wave, _ in asked], truth),
        "judge round trip": judge.score([_steps(wave) for wave in back], truth),
    }


def _found(waves: list[Floats], codec: AudioCodec) -> float:
    """How often a round trip is nearer to its own recording than to any other."""
    real = np.stack([_steps(wave) for wave in waves])
    back = [_heard(codec, encode(codec, [wave])) for wave in waves]
    nearest = [np.square(real - _steps(wave)).sum(1).argmin() for wave in back]
    return float(np.mean(np.array(nearest) == np.arange(len(waves))))


def _heard(codec: AudioCodec, symbols: Symbols) -> Floats:
    pieces = decode(codec, [symbols])
    return np.concatenate(pieces)


def _invariance(codec: AudioCodec) -> Callable[[Floats], float]:
    def kept(wave: Floats) -> float:
        loud, soft = codec.quantise(mel(wave)), codec.quantise(mel(wave * np.float32(0.25)))
        heard = (loud[::2] > 0) & (soft[::2] > 0)
        return float((loud == soft)[1::2][heard].mean()) if heard.any() else 1.0

    return kept


def _steps(wave: Floats) -> Floats:
    """What the judge of sounds hears: 20 log-mel frames, relative to the loudest band."""
    bands = np.maximum(mel(wave), mel(wave).max() - 60)
    at = np.linspace(0, len(bands) - 1, 20).round().astype(int)
    return np.asarray(bands[at] - bands.max(), np.float32).reshape(-1)


def distance(real: Floats, other: Floats) -> float:
    """Root mean square in dB of log-mel, over what lies within 50 dB of the loudest."""
    floor = real.max() - 50
    return float(np.sqrt(np.square(np.maximum(real, floor) - np.maximum(other, floor)).mean()))


def _mean(values: Any) -> float:
    return float(np.mean(list(values)))


def texts() -> Row:
    """Stories and sentences through the text codec."""
    row: Row = {}
    captions = media.captions()
    for name, (known, asked) in media.texts().items():
        codec, fit_s = timed(TextCodec.fit, [known, *captions])
        symbols, encode_s = timed(encode, codec, [asked])
        bits = entropy(symbols) * len(symbols) / len(asked)
        row |= {
            f"{name}: bytes/symbol": len(asked) / len(symbols),
            f"{name}: bits/byte": bits,
            f"{name}: symbols/caption": _mean(len(encode(codec, [text])) for text in captions),
            f"{name}: fit s": fit_s,
            f"{name}: encode MB/s": len(asked) / encode_s / 1e6,
        }
    return row


def quantisers(seconds: float = 4.0) -> Row:
    """PSNR of held-out photos and digits with 512 codes a tile, by way of learning the codes."""
    (learnt, _), _, (asked, _) = media.written_digits(2000, 6000, 1000)
    photos = media.photos()
    known = [canvas(pixels, 32) for pixels in [*learnt, *photos[20:]]]
    held = np.stack([canvas(pixels, 32) for pixels in [*asked[:200], *photos[:20]]])
    plain = ImageConfig(colour_weight=1.0, mean_weight=1.0)
    codec, fit_s = timed(ImageCodec.fit, known, plain)
    tiles, asked_tiles = _tiles(np.stack(known)), _tiles(held)
    draw = np.random.default_rng(0).permutation(len(tiles))[:30_000]
    train, test = torch.from_numpy(tiles[draw]), torch.from_numpy(asked_tiles)
    ours = psnr(codec.decode_many(codec.encode_many(held)), held)
    row = {"ours: psnr": ours, "ours: fit s": fit_s}
    for name, learn in (("ResidualVQ", _residual), ("FSQ", _scalar)):
        shown, learn_s = timed(learn, train, test, max(seconds, fit_s))
        error = np.square(shown - asked_tiles).mean()
        row |= {f"{name}: psnr": float(-10 * np.log10(error)), f"{name}: fit s": learn_s}
    return row


def _tiles(canvases: media.Pixels) -> Floats:
    """[N, 32, 32, 3] to [N * 64, 48] in [0, 1]."""
    cut = canvases.reshape(-1, 8, 4, 8, 4, 3).transpose(0, 1, 3, 2, 4, 5)
    return np.asarray(cut.reshape(-1, 48) / 255, np.float32)


def _residual(train: torch.Tensor, held: torch.Tensor, seconds: float) -> Floats:
    """One level of 512 codes: k-means start, then moving averages while there is time."""
    torch.manual_seed(0)
    start = time.perf_counter()
    model = ResidualVQ(dim=48, num_quantizers=1, codebook_size=512, kmeans_init=True)
    while time.perf_counter() - start < seconds:
        model(train[torch.randint(len(train), (1, 8192))])
    return model.eval()(held[None])[0][0].detach().numpy()


def _scalar(train: torch.Tensor, held: torch.Tensor, seconds: float) -> Floats:
    """8 x 8 x 8 codes between two small networks, learnt by gradient while there is time."""
    torch.manual_seed(0)
    start = time.perf_counter()
    model = torch.nn.ModuleList(
        torch.nn.Sequential(torch.nn.Linear(a, 128), torch.nn.GELU(), torch.nn.Linear(128, b))
        for a, b in ((48, 3), (3, 48))
    )
    codes = FSQ(levels=[8, 8, 8])
    adam = torch.optim.Adam(model.parameters(), 3e-3)

    def shown(tiles: torch.Tensor) -> torch.Tensor:
        return model[1](codes(model[0](tiles)[None])[0][0])

    while time.perf_counter() - start < seconds:
        batch = train[torch.randint(len(train), (1024,))]
        loss = (shown(batch) - batch).square().mean()
        adam.zero_grad()
        loss.backward()
        adam.step()
    return shown(held).detach().numpy()


def main() -> None:
    """Print the table."""
    torch.set_num_threads(1)
    rows = {
        "image, 512 codes": images(ImageConfig()),
        "image, 1024 codes": images(ImageConfig(codes=1024)),
        "audio": sounds(),
        "text": texts(),
        "quantiser": quantisers(),
    }
    print("| codec | figure | value |\n| --- | --- | ---: |")
    for codec, row in rows.items():
        for figure, value in row.items():
            print(f"| {codec} | {figure} | {value:.4g} |")
    print(json.dumps(rows, default=float))


if __name__ == "__main__":
    main()

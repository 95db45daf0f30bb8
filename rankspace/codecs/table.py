"""Every modality there is, in one table, and how a model's codecs lie in a folder."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rankspace.codecs.audio import AudioCodec
from rankspace.codecs.base import Codec
from rankspace.codecs.image import ImageCodec
from rankspace.codecs.text import TextCodec
from rankspace.codecs.video import VideoCodec
from rankspace.media.sample import Modality

AnyCodec = Codec[Any]

CODECS: dict[Modality, type[TextCodec | AudioCodec | ImageCodec | VideoCodec]] = {
    "text": TextCodec,
    "audio": AudioCodec,
    "image": ImageCodec,
    "video": VideoCodec,
}


def save_all(codecs: Mapping[Modality, AnyCodec], folder: Path) -> None:
    """Write a model's codecs into one folder."""
    for codec in codecs.values():
        codec.save(folder)


def load_all(folder: Path) -> dict[Modality, AnyCodec]:
    """The codecs that a model has learnt; a modality that it has not learnt is missing."""
    return {
        name: kind.load(folder)
        for name, kind in CODECS.items()
        if (folder / f"{name}.json").exists()
    }

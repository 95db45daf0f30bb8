"""A part without metadata, whatever its encoding.

What is decoded from it is what was decoded before, doing it twice is doing it once, and the same
bytes always give the same bytes. What cannot be told apart for sure is refused.
"""

import struct
from collections.abc import Callable, Mapping
from dataclasses import replace
from types import MappingProxyType

from rankspace.errors import MalformedMedia
from rankspace.media.magic import ENCODINGS, RAW, encoding_of, sniff
from rankspace.media.sample import Frame, Part
from rankspace.media.strip.faults import Unsafe
from rankspace.media.strip.images import gif, jpeg, png, webp
from rankspace.media.strip.mp4 import mp4
from rankspace.media.strip.ogg import ogg
from rankspace.media.strip.sounds import flac, mp3, wav
from rankspace.media.strip.webm import webm

_STRIPPERS: Mapping[str, Callable[[bytes], bytes]] = MappingProxyType(
    {
        "png": png, "jpeg": jpeg, "webp": webp, "gif": gif, "wav": wav, "flac": flac, "mp3": mp3,
        "ogg": ogg, "opus": ogg, "mp4": mp4, "webm": webm,
    }
)  # fmt: skip


def strip(part: Part) -> Part:
    """The part without metadata; the same object if there is nothing to strip.

    Raises MalformedMedia, also where that cannot be done. The part's header is taken to be right.
    """
    if part.modality == "text" or part.encoding in RAW:
        return part
    if part.frames:
        frames = tuple(Frame(one.time_us, _frame(at, one)) for at, one in enumerate(part.frames))
        return part if frames == part.frames else replace(part, frames=frames)
    data = stripped(part.data, encoding_of(part))
    return part if data == part.data else replace(part, data=data)


def stripped(data: bytes, encoding: str, field: str = "data") -> bytes:
    """A file of this encoding without metadata."""
    try:
        return _STRIPPERS[encoding](data)
    except Unsafe as error:
        words = f"the {encoding} {error}"
        raise MalformedMedia(words, field) from error
    except (struct.error, IndexError) as error:
        raise MalformedMedia(f"the {encoding} is cut short", field) from error


def bare(data: bytes, encoding: str) -> bytes:
    """The same for a decoder, which may take what is not safe to strip: then as it was."""
    try:
        return stripped(data, encoding)
    except MalformedMedia:
        return data


def _frame(at: int, frame: Frame) -> bytes:
    encoding = sniff(frame.image)
    if encoding not in ENCODINGS["image"]:
        raise MalformedMedia("the first bytes are those of no picture", f"frames[{at}].image")
    return stripped(frame.image, encoding, f"frames[{at}].image")

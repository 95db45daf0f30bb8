"""Media in, one function a modality: (part, limits) → text, audio, image or video.

Each holds the part to the limits before it allocates and while it decodes, and raises
MalformedMedia or LimitExceeded (UnknownModality for a modality that does not exist).
"""

from collections.abc import Callable

from rankspace.media.audio import decode as audio
from rankspace.media.clip import Clip, Pixels, Wave
from rankspace.media.image import decode as image
from rankspace.media.limits import Limits
from rankspace.media.sample import Part
from rankspace.media.text import decode as text
from rankspace.media.video import decode as video

__all__ = ["Decode", "Decoded", "audio", "image", "media", "text", "video", "within"]

Decoded = bytes | Wave | Pixels | Clip

Decode = Callable[[Part], Decoded]
"""How parts become media: here, or where a decoder may die."""


def media(part: Part, limits: Limits) -> Decoded:
    """A part of any modality, decoded as its codec takes it."""
    if part.modality == "text":
        return text(part, limits)
    if part.modality == "audio":
        return audio(part, limits)
    if part.modality == "image":
        return image(part, limits)
    return video(part, limits)


def within(limits: Limits) -> Decode:
    """Decoding in this process, within these limits."""
    return lambda part: media(part, limits)

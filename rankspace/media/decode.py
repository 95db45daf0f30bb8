"""Media in, one function a modality: (part, limits) → text, audio, image or video.

Each holds the part to the limits before it allocates and while it decodes, and raises
MalformedMedia or LimitExceeded (UnknownModality for a modality that does not exist).
"""

from rankspace.media.audio import decode as audio
from rankspace.media.clip import Clip, Pixels, Wave
from rankspace.media.image import decode as image
from rankspace.media.limits import Limits
from rankspace.media.sample import Part
from rankspace.media.text import decode as text
from rankspace.media.video import decode as video

__all__ = ["Decoded", "audio", "image", "media", "text", "video"]

Decoded = bytes | Wave | Pixels | Clip


def media(part: Part, limits: Limits) -> Decoded:
    """A part of any modality, decoded as its codec takes it."""
    if part.modality == "text":
        return text(part, limits)
    if part.modality == "audio":
        return audio(part, limits)
    if part.modality == "image":
        return image(part, limits)
    return video(part, limits)

"""Media in, one function a modality: (part, limits) → text, audio, image or video.

Each holds the part to the limits before it allocates and while it decodes, and raises
MalformedMedia or LimitExceeded (UnknownModality for a modality that does not exist).
"""

from rankspace.media.audio import decode as audio
from rankspace.media.image import decode as image
from rankspace.media.text import decode as text
from rankspace.media.video import decode as video

__all__ = ["audio", "image", "text", "video"]

"""What the first bytes of a file promise, read without opening a decoder.

    png jpeg gif webp    the size of the picture
    wav flac             rate, channels, how many samples
    raw PCM              the same; no byte of it is needed

Law: what is told from the head is what `rankspace.media.probe` tells from the whole, except that
the whole of a wav or flac may turn out to hold no sound at all, and that of a flac frames of
another rate; decoding finds that. What cannot be told, or would be a refusal, is None: whoever asks
then looks at the whole.
"""

import struct

from rankspace.errors import InvalidInput
from rankspace.media import audio, image
from rankspace.media.clip import Probe
from rankspace.media.limits import Limits
from rankspace.media.magic import RAW
from rankspace.media.sample import Part

HEAD_BYTES = 4096
"""The size of most pictures lies within so many bytes, a colour profile before it included."""

_SOUNDS = (b"RIFF", b"fLaC")


def needed(part: Part) -> int | None:
    """How many bytes of a part to look at; None: all of them."""
    if part.encoding in RAW:
        return 0
    if part.modality == "image" or (part.modality == "audio" and part.data[:4] in _SOUNDS):
        return HEAD_BYTES
    return None


def told(part: Part, size: int, limits: Limits) -> Probe | None:
    """What the header says of a part of `size` bytes; `part.data` are the first of them."""
    try:
        if part.modality == "image":
            return image.probe(part, limits)
        return audio.told(part, size, limits)
    except (InvalidInput, struct.error):
        return None

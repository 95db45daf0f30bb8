"""Text: UTF-8, checked and then kept byte for byte as sent.

Nothing is normalised: not the form (NFC, NFD), not newlines, not a byte-order mark. Python's strict
decoder refuses lone surrogates, overlong forms, cut characters and what lies beyond U+10FFFF.
U+0000 is refused too: no text needs it, and it gives away UTF-16 and binary data that happen to be
valid UTF-8.
"""

from rankspace.errors import MalformedMedia
from rankspace.media.clip import Probe
from rankspace.media.limits import Limits, bounded
from rankspace.media.magic import encoding_of
from rankspace.media.sample import Part


def decode(part: Part, limits: Limits) -> bytes:
    """The text as sent, known to be UTF-8. Raises MalformedMedia or LimitExceeded."""
    encoding_of(part)
    if not part.data:
        raise MalformedMedia("the text is empty", "data")
    bounded("bytes of text", len(part.data), min(limits.text_bytes_max, limits.part_bytes_max))
    try:
        part.data.decode("utf-8", "strict")
    except UnicodeDecodeError as error:
        raise MalformedMedia(f"the text is not UTF-8 from byte {error.start} on", "data") from error
    if (nul := part.data.find(0)) >= 0:
        raise MalformedMedia(f"the text holds NUL at byte {nul}; send UTF-8 without it", "data")
    return part.data


def probe(part: Part, limits: Limits) -> Probe:
    """A text has no header, so probing is the whole check."""
    return Probe("text", "", decoded_bytes=len(decode(part, limits)))

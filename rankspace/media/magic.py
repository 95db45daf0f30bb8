"""What a file is, told from its first bytes; what a client says it is must agree with that.

Only the encodings listed here are ever handed to a decoder.
"""

from collections.abc import Mapping
from types import MappingProxyType

from rankspace.errors import MalformedMedia, UnknownModality
from rankspace.media.sample import MODALITIES, Modality, Part

RAW: Mapping[str, str] = MappingProxyType({"pcm_s16le": "<i2", "pcm_f32le": "<f4"})
"""Raw PCM encodings and the type of one sample."""

ENCODINGS: Mapping[Modality, tuple[str, ...]] = MappingProxyType(
    {
        "text": ("",),
        "audio": ("wav", "flac", "ogg", "mp3", "opus", *RAW),
        "image": ("png", "jpeg", "webp", "gif"),
        "video": ("mp4", "webm", "gif", "frames"),
    }
)
"""Every encoding that is taken, by modality."""

_STARTS = (
    (b"\x89PNG\r\n\x1a\n", "png"),
    (b"\xff\xd8\xff", "jpeg"),
    (b"GIF87a", "gif"),
    (b"GIF89a", "gif"),
    (b"fLaC", "flac"),
    (b"ID3", "mp3"),
    (b"\x1aE\xdf\xa3", "webm"),
)


def _is_mp3_frame(head: bytes) -> bool:
    """Eleven bits of sync, then layer III (ISO/IEC 11172-3, 2.4.1.3)."""
    return len(head) > 1 and head[0] == 0xFF and head[1] & 0xE6 == 0xE2


def sniff(data: bytes) -> str:
    """The encoding that the magic bytes tell, or "" when they tell none."""
    head = data[:64]
    for start, encoding in _STARTS:
        if head.startswith(start):
            return encoding
    if head.startswith(b"RIFF"):
        return {b"WAVE": "wav", b"WEBP": "webp"}.get(head[8:12], "")
    if head.startswith(b"OggS"):
        return "opus" if b"OpusHead" in head else "ogg"
    if head[4:8] == b"ftyp":
        return "mp4"
    return "mp3" if _is_mp3_frame(head) else ""


def encoding_of(part: Part) -> str:
    """The encoding of a part: declared, allowed for its modality, and borne out by its first bytes.

    Raises UnknownModality or MalformedMedia.
    """
    if part.modality not in MODALITIES:
        raise UnknownModality(f"the modality is one of {', '.join(MODALITIES)}", "modality")
    allowed = ENCODINGS[part.modality]
    if part.encoding and part.encoding not in allowed:
        taken = ", ".join(allowed) if allowed != ("",) else "no encoding: it is UTF-8"
        raise MalformedMedia(f"{part.modality} takes {taken}", "encoding")
    if part.modality == "text" or part.encoding in RAW or part.encoding == "frames":
        return part.encoding
    return _agreed(part, allowed)


def _agreed(part: Part, allowed: tuple[str, ...]) -> str:
    if not part.data:
        raise MalformedMedia(f"the {part.modality} is empty", "data")
    found = sniff(part.data)
    if found not in allowed:
        seen = f"look like {found}" if found else "are of no known kind"
        raise MalformedMedia(
            f"the first bytes {seen}; {part.modality} takes {', '.join(allowed)}", "data"
        )
    if part.encoding in ("", found) or (part.encoding, found) == ("ogg", "opus"):
        return found
    raise MalformedMedia(
        f"declared as {part.encoding}, but the first bytes are {found}", "encoding"
    )

"""What a client sends: samples, each a set of parts that belong together.

A part is one piece of one modality in the encoding it was sent in. Its `role` says what it is to
its sample ("ru", "en", "speech-ru", "word"); a model learns one kind of part per (modality, role),
so a request can ask for the Russian caption rather than for any text. Raw bytes are kept as sent;
everything else in the library is derived from them.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, get_args

Modality = Literal["text", "audio", "image", "video"]
MODALITIES: tuple[Modality, ...] = get_args(Modality)


@dataclass(frozen=True, slots=True)
class Frame:
    """One frame of a video that was sent as timed pictures."""

    time_us: int
    """Microseconds since the part's first frame."""

    image: bytes
    """An encoded image."""


@dataclass(frozen=True, slots=True)
class Part:
    """One piece of one modality, as sent."""

    modality: Modality
    data: bytes = b""
    """UTF-8 text, or the media file, or raw PCM; empty when `frames` are given."""

    encoding: str = ""
    """Text: empty. Audio: wav flac ogg mp3 opus pcm_s16le pcm_f32le. Image: png jpeg webp gif.
    Video: mp4 webm gif frames. Empty for other media than text: told by the first bytes."""

    role: str = ""
    """What the part is to its sample; at most 64 characters of a-z 0-9 - _ (empty: plain)."""

    rate_hz: int = 0
    """Sample rate; raw PCM only."""

    channels: int = 0
    """Channel count; raw PCM only."""

    frames: tuple[Frame, ...] = ()
    """Timed pictures; video with encoding "frames" only."""

    start_us: int = 0
    """When it began, in microseconds since the sample's event time: the common clock of parts."""


@dataclass(frozen=True, slots=True)
class Sample:
    """Parts that belong together: a photo, its caption, the caption spoken."""

    sample_id: str
    parts: tuple[Part, ...]
    event_time_us: int = 0
    """When it happened: microseconds since the Unix epoch; 0 when unknown."""

    labels: Mapping[str, str] = field(default_factory=dict)
    """Free text for filters; the model never sees it. The label "split" = "valid" keeps a sample
    out of training: it is used for held-out loss only."""

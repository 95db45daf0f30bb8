"""How much is taken: bounds on what media are once decoded, not only on what they weigh.

A small file may hold a large thing (25 MB of Opus can be hours of sound), so every bound is checked
against the header before anything is allocated, and again while decoding, because headers lie.
"""

from pydantic import Field

from rankspace.config import Config
from rankspace.errors import LimitExceeded


class Limits(Config):
    """Bounds on one sample and on each of its parts; beyond them `LimitExceeded` is raised."""

    parts_per_sample_max: int = Field(16, ge=1)
    """Parts in one sample."""

    sample_id_chars_max: int = Field(256, ge=1)
    """Characters of a sample's id."""

    labels_max: int = Field(32, ge=0)
    """Labels of one sample."""

    label_chars_max: int = Field(1024, ge=1)
    """Characters of a label's key, and of its value."""

    part_bytes_max: int = Field(64 * 2**20, ge=1)
    """Bytes of one part as sent."""

    decoded_bytes_max: int = Field(256 * 2**20, ge=1)
    """Bytes of one part once decoded."""

    text_bytes_max: int = Field(2**20, ge=1)
    """Bytes of a text."""

    audio_seconds_max: float = Field(600.0, gt=0)
    """Seconds of a sound."""

    audio_rate_max: int = Field(192_000, ge=1_000)
    """Samples a second and channel, as sent; the least is 1,000."""

    channels_max: int = Field(8, ge=1)
    """Channels of a sound, as sent; they are mixed down to one."""

    image_pixels_max: int = Field(16 * 2**20, ge=1, le=80_000_000)
    """Pixels of a picture."""

    video_pixels_max: int = Field(1920 * 1088, ge=1, le=80_000_000)
    """Pixels of one frame of a video."""

    video_seconds_max: float = Field(60.0, gt=0)
    """Seconds of a video."""

    video_frames_max: int = Field(2_000, ge=1)
    """Frames of a video as sent."""

    video_rate_max: float = Field(10.0, gt=0)
    """Frames a second that are kept: what comes faster is thinned out, not refused."""

    video_kept_pixels_max: int = Field(512 * 288, ge=1)
    """Pixels of a frame that are kept: what is larger is scaled down, not refused."""


def bounded(what: str, value: int | float, most: int | float, field: str = "data") -> None:
    """Raise LimitExceeded unless value <= most; `what` names the thing and its unit."""
    if value > most:
        raise LimitExceeded(f"{what}: {value:.10g}, where at most {most:.10g} are taken", field)

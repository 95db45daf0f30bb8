"""What grows and what came of it: plain data, no SQL.

    Begin ──▶ Chunk, Chunk, … ──▶ End ──▶ named by a sample
                                  Abandon

Positions count the bytes of one medium from 0.
"""

from dataclasses import dataclass

from rankspace.media.sample import Modality, Part


@dataclass(frozen=True, slots=True)
class Head:
    """What a medium is; the fields are those of `Part`."""

    modality: Modality
    encoding: str = ""
    role: str = ""
    rate_hz: int = 0
    channels: int = 0
    event_time_us: int = 0
    """When it began: microseconds since the Unix epoch; 0 when unknown."""


@dataclass(frozen=True, slots=True)
class Begin:
    """The first step of a medium."""

    media_id: str
    head: Head


@dataclass(frozen=True, slots=True)
class Chunk:
    """Bytes of a medium from a position on."""

    media_id: str
    position: int
    data: bytes


@dataclass(frozen=True, slots=True)
class End:
    """The medium is whole."""

    media_id: str
    size: int
    """Bytes of all its chunks."""

    sha256: bytes = b""
    """Of all its bytes; empty: not said."""


@dataclass(frozen=True, slots=True)
class Abandon:
    """The medium is not wanted any more."""

    media_id: str


Step = Begin | Chunk | End | Abandon


@dataclass(frozen=True, slots=True)
class Grown:
    """How far a medium has come."""

    media_id: str
    position: int
    """Bytes that are kept: where the next chunk goes on."""

    ended: bool = False
    duplicate: bool = False
    """What was sent was there before."""


@dataclass(frozen=True, slots=True)
class Medium:
    """A medium that has ended."""

    part: Part
    """All of it, as if it had been sent in one message."""

    event_time_us: int
    """When it began; 0 when unknown."""

"""How much decoding may take, and how much of it happens at once."""

from pydantic import Field

from rankspace.config import Config


class SandboxConfig(Config):
    """The processes that decode what others sent."""

    workers: int = Field(default=0, ge=0, le=64)
    """Processes at most; they start when they are needed. 0: one a core, at most two."""

    memory_bytes_max: int = Field(default=1 << 30, ge=64 << 20)
    """Memory that decoding may take in one process, beside what it needs to run at all."""

    probe_s_max: int = Field(default=5, ge=1, le=3600)
    """Seconds of processor time to read the header of one part, and to strip it."""

    decode_s_max: int = Field(default=60, ge=1, le=3600)
    """Seconds of processor time to decode one part."""

    patience: float = Field(default=4.0, ge=1, le=100)
    """How many times the processor time a part may take on the clock; a busy machine is no fault
    of its own."""

    batch_s_max: float = Field(default=120.0, gt=0, le=3600)
    """Seconds on the clock for all parts of one batch, waiting for a free process included."""

    start_s: float = Field(default=30.0, gt=0, le=600)
    """Seconds that a process may take to start."""

    idle_s: float = Field(default=60.0, gt=0, le=86400)
    """Seconds without work after which a process ends."""

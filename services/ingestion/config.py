"""What a writer may send."""

from pydantic import Field

from rankspace.config import Config
from rankspace.media.limits import Limits
from services.sandbox.config import SandboxConfig


class IngestionConfig(Config):
    """What a writer may send."""

    limits: Limits = Limits()
    """Bounds on every sample."""

    sandbox: SandboxConfig = SandboxConfig()
    """The processes that read the headers of media."""

    batch_samples_max: int = Field(default=1024, gt=0, le=65536)
    """Samples in one batch: one transaction."""

    credit_batches: int = Field(default=16, gt=0, le=4096)
    """Messages a writer may have on their way without an answer: batches and pieces."""

    credit_bytes: int = Field(default=16 << 20, gt=0, le=1 << 31)
    """Bytes of such messages; a single message may always be on its way."""

    held_bytes_max: int = Field(default=32 << 20, ge=1 << 20)
    """Bytes of messages that are read and not yet stored, of all writers together."""

    growing_bytes_max: int = Field(default=64 << 20, gt=0, le=1 << 30)
    """Bytes of one growing medium, and of all that one batch names together."""

    chunk_bytes_max: int = Field(default=1 << 20, gt=0, le=16 << 20)
    """Bytes of one chunk of a growing medium."""

    native: bool = True
    """Read batches of plain samples by code that a C++ compiler on this machine makes of
    rankspace/wire/intake.cpp. Without a compiler, or for other batches, it is done in Python."""

    keep_rejects: bool = False
    """Keep refused samples of every stream, not only of those labelled "rejects" = "keep"."""

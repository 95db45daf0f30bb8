"""Where training runs and how much of the machine it may use."""

from pydantic import Field

from rankspace.config import Config


class ClusterConfig(Config):
    """The Ray behind the server."""

    address: str = "local"
    """"local" starts a Ray of its own on this machine with the first job; else a Ray address."""

    cpus: int = Field(default=0, ge=0, le=4096)
    """Cores of a local Ray; 0: all there are."""

    object_store_bytes: int = Field(default=80 << 20, ge=80 << 20)
    """Ray's shared memory; training keeps nothing in it."""

    failures_max: int = Field(default=2, ge=0, le=100)
    """How often a job whose worker died goes on from its last checkpoint."""

    start_s: float = Field(default=120.0, gt=0)
    """How long Ray may take to start."""

    stop_s: float = Field(default=15.0, gt=0)
    """How long Ray may take to stop before it is killed."""

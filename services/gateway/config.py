"""Where the server listens, who may ask, and how much at once."""

from pathlib import Path
from typing import Literal

from pydantic import Field

from rankspace.config import Config
from services.auth import AuthConfig
from services.ingestion import IngestionConfig


class GatewayConfig(Config):
    """Where the server listens, who may ask, and how much at once."""

    address: str = "127.0.0.1:50051"
    """Host and port; port 0 takes a free one."""

    port_file: Path | None = None
    """The port is written here once the server serves."""

    certificate: Path | None = None
    """PEM chain of the server; with `key`, calls are encrypted."""

    key: Path | None = None
    """PEM key of the certificate."""

    client_ca: Path | None = None
    """PEM of who signs clients' certificates; then every client must show one."""

    auth: AuthConfig = AuthConfig()
    """Who may ask."""

    ingestion: IngestionConfig = IngestionConfig()
    """What a writer may send."""

    message_bytes_max: int = Field(default=32 << 20, ge=1 << 20, le=1 << 30)
    """Largest message taken; a sample must fit into one."""

    metadata_bytes_max: int = Field(default=16 << 10, ge=1 << 10, le=1 << 20)
    """Largest metadata taken with a call."""

    calls_max: int = Field(default=256, gt=0, le=1 << 16)
    """Calls at work at once; one more is told to come again."""

    calls_per_connection_max: int = Field(default=64, gt=0, le=1 << 16)
    """Calls at once on one connection; more wait in the client."""

    keepalive_s: float = Field(default=30.0, gt=0)
    """Silence after which a peer is asked whether it is still there; it has as long to answer."""

    ping_s_min: float = Field(default=10.0, gt=0)
    """A client that pings more often is sent away."""

    log_level: Literal["debug", "info", "warning", "error"] = "info"
    """The least that is logged."""

    grace_s: float = Field(default=10.0, ge=0)
    """How long calls may go on after the server was asked to stop."""

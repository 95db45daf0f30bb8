"""Where the server listens, who may ask, and how much at once."""

from pathlib import Path
from typing import Literal

from pydantic import Field

from rankspace.config import Config
from services.audit import AuditConfig
from services.auth import AuthConfig
from services.ingestion import IngestionConfig
from services.quotas import QuotasConfig
from services.telemetry import TelemetryConfig


class GatewayConfig(Config):
    """Where the server listens, who may ask, and how much at once."""

    address: str = "127.0.0.1:50051"
    """Host and port; port 0 takes a free one."""

    port_file: Path | None = None
    """The port is written here once the server serves."""

    certificate: Path | None = None
    """PEM chain of the server; with `key`, calls are encrypted. Both files are read again when they
    change, for the connections to come."""

    key: Path | None = None
    """PEM key of the certificate."""

    client_ca: Path | None = None
    """PEM of who signs clients' certificates; then every client must show one."""

    auth: AuthConfig = AuthConfig()
    """Who may ask."""

    quotas: QuotasConfig = QuotasConfig()
    """How much a tenant or a stream may take."""

    audit: AuditConfig = AuditConfig()
    """Where it is written down who did what."""

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

    connections_max: int = Field(default=512, gt=0, le=1 << 16)
    """Connections at once; one more is closed as soon as it is made."""

    handshake_s_max: float = Field(default=20.0, gt=0)
    """How long a new connection may take to speak TLS and HTTP/2."""

    connection_idle_s_max: float = Field(default=900.0, gt=0)
    """How long a connection may stay without a call."""

    connection_age_s_max: float = Field(default=3600.0, gt=0)
    """Age at which a connection is told to go (GOAWAY); its calls may still end."""

    connection_leave_s_max: float = Field(default=600.0, gt=0)
    """How long the calls of a connection that was told to go may still take."""

    unary_s_max: float = Field(default=120.0, gt=0)
    """How long a call with one answer may take, from its first byte on."""

    idle_s_max: float = Field(default=600.0, gt=0)
    """How long a call may stand still because its caller says nothing, before the first message or
    in a stream of them."""

    keepalive_s: float = Field(default=30.0, gt=0)
    """Silence after which a peer is asked whether it is still there; it has as long to answer."""

    ping_s_min: float = Field(default=10.0, gt=0)
    """A client that pings more often is sent away."""

    metrics_address: str = ""
    """Host and port where Prometheus may ask for metrics; empty: nothing is measured."""

    telemetry: TelemetryConfig = TelemetryConfig()
    """Metrics and traces."""

    log_level: Literal["debug", "info", "warning", "error"] = "info"
    """The least that is logged."""

    grace_s: float = Field(default=10.0, ge=0)
    """How long calls may go on after the server was asked to stop."""

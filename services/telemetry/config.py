"""What is told beyond log lines, and to whom."""

from pydantic import Field

from rankspace.config import Config


class TelemetryConfig(Config):
    """Metrics and traces."""

    tenants_max: int = Field(default=50, gt=0, le=10_000)
    """Tenants that metrics tell apart, the first that are seen; all others are "other"."""

    otlp_endpoint: str = ""
    """Where traces go, as http://HOST:PORT (https:// for TLS) of an OTLP gRPC collector; empty: no
    traces are made."""

    trace_share: float = Field(default=1.0, ge=0, le=1)
    """Share of the appends that are traced where the caller has not decided."""

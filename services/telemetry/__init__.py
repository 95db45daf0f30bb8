"""What the server says about itself: log lines, metrics, traces."""

from services.telemetry.config import TelemetryConfig
from services.telemetry.logs import call, start

__all__ = ["TelemetryConfig", "call", "start"]

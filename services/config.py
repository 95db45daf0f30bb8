"""The whole server's config: one TOML file, and the environment over it.

    [gateway]                              RANKSPACE_GATEWAY__ADDRESS=127.0.0.1:7000
    address = "127.0.0.1:7000"             RANKSPACE_GATEWAY__CALLS_MAX=64

A variable's name is the setting's path with two underscores between its names; its value is JSON
where it reads as JSON (numbers, lists, "quoted words"), else a plain word.
"""

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field

from rankspace.config import Config, parse, read
from rankspace.errors import InvalidConfig
from rankspace.store.config import StoreConfig
from services.cluster.config import ClusterConfig
from services.gateway.config import GatewayConfig
from services.local.config import EngineConfig

PREFIX = "RANKSPACE_"


def _home() -> Path:
    data = os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share"
    return Path(data) / "rankspace"


class ProcessesConfig(Config):
    """How many processes serve."""

    processes: Annotated[int, Field(ge=1, le=64)] | Literal["auto"] = 1
    """Server processes that share the port and the store; "auto": one for every two cores. Each has
    the limits of one."""

    @property
    def number(self) -> int:
        """How many that is here."""
        if self.processes != "auto":
            return self.processes
        ours = getattr(os, "sched_getaffinity", None)  # Linux only
        return max(1, (len(ours(0)) if ours else os.cpu_count() or 1) // 2)


class ServerConfig(Config):
    """All of `rankspace serve`."""

    server: ProcessesConfig = ProcessesConfig()
    """How many processes serve."""

    gateway: GatewayConfig = GatewayConfig()
    """The front door."""

    store: StoreConfig = Field(default_factory=lambda: StoreConfig(folder=_home()))
    """Where everything is kept."""

    engine: EngineConfig = EngineConfig()
    """How much the server does at once."""

    cluster: ClusterConfig = ClusterConfig()
    """Where jobs train."""

    @property
    def audit_folder(self) -> Path:
        """Where it is written down who did what."""
        return self.gateway.audit.folder or self.store.folder / "audit"

    @property
    def placed(self) -> GatewayConfig:
        """The front door, with the places that follow from the store's."""
        audit = self.gateway.audit.model_copy(update={"folder": self.audit_folder})
        return self.gateway.model_copy(update={"audit": audit})


def server_config(
    path: Path | None = None, environment: Mapping[str, str] = os.environ
) -> ServerConfig:
    """The config of a file (none: the defaults), overlaid with the environment."""
    values: dict[str, Any] = read(path) if path else {}
    for name, text in environment.items():
        section, _, rest = name.removeprefix(PREFIX).partition("__")
        if name.startswith(PREFIX) and rest:
            _place(values, [section.lower(), *rest.lower().split("__")], _value(text), name)
    if "store" in values:
        values["store"] = {"folder": str(_home())} | values["store"]
    return parse(ServerConfig, values)


def _place(values: dict[str, Any], names: list[str], value: object, variable: str) -> None:
    *sections, last = names
    for section in sections:
        values = values.setdefault(section, {})
        if not isinstance(values, dict):
            raise InvalidConfig(f"{variable} names a setting inside {section}, which has none")
    values[last] = value


def _value(text: str) -> object:
    try:
        return json.loads(text)
    except ValueError:
        return text

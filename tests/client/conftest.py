"""A real server with a real store in a thread of its own; a parrot stands where models answer."""

import asyncio
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from rankspace.client import Client
from rankspace.store.config import StoreConfig
from rankspace.store.store import Store
from services.gateway.config import GatewayConfig
from services.gateway.server import running
from tests.services.parrot import ParrotEngine


class Site:
    """A server that can be stopped and started again on the same port and store."""

    def __init__(
        self,
        folder: Path,
        ingestion: Mapping[str, Any] | None = None,
        gateway: Mapping[str, Any] | None = None,
    ) -> None:
        self.settings = ingestion or {}
        self._gateway = gateway or {}
        self.store = Store.open(StoreConfig(folder=folder))
        self.address = "127.0.0.1:0"
        self.start()

    def start(self) -> None:
        """Return once it serves."""
        serves = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve(serves)))
        self._thread.start()
        assert serves.wait(timeout=10)

    async def _serve(self, serves: threading.Event) -> None:
        self._loop, self._stopped = asyncio.get_running_loop(), asyncio.Event()
        config = GatewayConfig.model_validate(
            {"address": self.address, "grace_s": 0.0, "ingestion": self.settings, **self._gateway}
        )
        async with running(config, ParrotEngine(self.store)) as port:
            self.address = f"127.0.0.1:{port}"
            serves.set()
            await self._stopped.wait()

    def stop(self) -> None:
        """Break all calls off."""
        self._loop.call_soon_threadsafe(self._stopped.set)
        self._thread.join(timeout=10)


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    opened = Site(tmp_path / "store")
    yield opened
    opened.stop()
    opened.store.close()


@pytest.fixture
def client(site: Site) -> Iterator[Client]:
    with Client(site.address, patience_s=10.0) as opened:
        yield opened

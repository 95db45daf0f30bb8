"""A real server on a loopback port, with the real store behind it, for every test that asks."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import grpc
import pytest

from rankspace.store.config import StoreConfig
from rankspace.store.store import Store
from services.gateway.config import GatewayConfig
from services.gateway.server import running
from tests.services.parrot import ParrotEngine


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[ParrotEngine]:
    with Store.open(StoreConfig(folder=tmp_path / "store")) as store:
        yield ParrotEngine(store)


@pytest.fixture
async def channel(engine: ParrotEngine) -> AsyncIterator[grpc.aio.Channel]:
    config = GatewayConfig(address="127.0.0.1:0", grace_s=0)
    async with (
        running(config, engine) as port,
        grpc.aio.insecure_channel(f"127.0.0.1:{port}") as opened,
    ):
        yield opened

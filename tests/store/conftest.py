"""A store of its own for every test: on SQLite, and again on PostgreSQL."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from rankspace.store.config import StoreConfig
from rankspace.store.store import Store


@pytest.fixture(scope="session", params=["sqlite", "postgresql"])
def address(request: pytest.FixtureRequest) -> Callable[[], str]:
    """The address of an empty database, a new one each time."""
    if request.param == "sqlite":
        return str
    return request.getfixturevalue("postgres").fresh


@pytest.fixture
def config(tmp_path: Path, address: Callable[[], str]) -> StoreConfig:
    return StoreConfig(
        folder=tmp_path / "store", url=address(), inline_bytes_max=16, page_rows=3, busy_s=5.0
    )


@pytest.fixture
def sqlite(tmp_path: Path) -> StoreConfig:
    """For what only SQLite does, or what is done to its files."""
    return StoreConfig(folder=tmp_path / "store", inline_bytes_max=16, page_rows=3, busy_s=5.0)


@pytest.fixture
def store(config: StoreConfig) -> Iterator[Store]:
    with Store.open(config) as opened:
        yield opened

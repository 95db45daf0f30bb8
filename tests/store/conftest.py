"""A store of its own for every test."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from rankspace.store.config import StoreConfig
from rankspace.store.store import Store


@pytest.fixture
def config(tmp_path: Path) -> StoreConfig:
    return StoreConfig(folder=tmp_path / "store", inline_bytes_max=16, page_rows=3, busy_s=5.0)


@pytest.fixture
def store(config: StoreConfig) -> Iterator[Store]:
    with Store.open(config) as opened:
        yield opened

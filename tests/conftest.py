"""Every test runs seeded, with shapes and types checked on each call into the library."""

import os
import sys
from collections.abc import Iterator

import pytest
from hypothesis import settings
from jaxtyping import install_import_hook

from tests.postgres import MISSING, Postgres, binaries, running

# Without chance: Hypothesis wants strategies that build our types to leave the random state alone.
install_import_hook("rankspace", "beartype.beartype(conf=beartype.BeartypeConf(is_random=False))")

settings.register_profile("desk", deadline=None, max_examples=50)
settings.register_profile("ci", deadline=None, max_examples=100, derandomize=True)
settings.load_profile("ci" if os.environ.get("CI") else "desk")


@pytest.fixture(autouse=True)
def _seeded() -> None:
    """Seed torch where a test uses it; one thread, so that sums are the same on every machine.

    Python's and NumPy's generators are seeded by pytest-randomly.
    """
    torch = sys.modules.get("torch")
    if torch is not None:
        torch.manual_seed(0)
        torch.set_num_threads(1)


@pytest.fixture(scope="session")
def _database() -> Iterator[Postgres]:
    if binaries() is None:
        pytest.skip(MISSING)
    yield from running()


@pytest.fixture
def postgres(_database: Postgres) -> Postgres:
    """A PostgreSQL server; take a room of it with `postgres.fresh()`."""
    _database.heal()
    return _database

"""Every test runs seeded, with shapes and types checked on each call into the library."""

import os
import sys
from collections.abc import Iterator

import pytest
from hypothesis import settings
from jaxtyping import install_import_hook

from tests import s3 as s3_server
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
def postgres() -> Iterator[Postgres]:
    """A PostgreSQL server; take a room of it with `postgres.fresh()`."""
    if binaries() is None:
        pytest.skip(MISSING)
    yield from running()


@pytest.fixture(scope="session")
def _objects() -> Iterator[s3_server.S3]:
    yield from s3_server.running()


@pytest.fixture
def s3(_objects: s3_server.S3, monkeypatch: pytest.MonkeyPatch) -> Iterator[s3_server.S3]:
    """An S3 server, and credentials for it in the environment; a bucket of it with `s3.fresh()`."""
    for name, value in s3_server.ENVIRONMENT.items():
        monkeypatch.setenv(name, value)
    _objects.heal()
    yield _objects
    _objects.heal()

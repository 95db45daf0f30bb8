"""Writes on SQLite take turns: none waits much longer than the one before it takes."""

import os
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import pytest
from sqlalchemy import text

from rankspace.errors import Overloaded
from rankspace.store.config import StoreConfig
from rankspace.store.database import Database

ROOT = Path(__file__).parents[2]
GREEDY = """
import sqlite3, sys, time
writes = sqlite3.connect(sys.argv[1], isolation_level=None, timeout=30)
print("ready", flush=True)
until = time.monotonic() + float(sys.argv[2])
while time.monotonic() < until:
    writes.execute("BEGIN IMMEDIATE")
    time.sleep(0.03)
    writes.execute("COMMIT")
    time.sleep(0.003)
"""


@pytest.fixture
def config(tmp_path: Path) -> StoreConfig:
    return StoreConfig(folder=tmp_path, busy_s=5.0)


def test_a_write_beside_one_that_hardly_lets_go_has_its_turns_too(
    config: StoreConfig,
) -> None:
    database = Database(config)
    greedy = subprocess.Popen(
        [sys.executable, "-c", GREEDY, str(config.folder / "store.db"), "2"],
        stdout=subprocess.PIPE, text=True, env=os.environ, cwd=ROOT,
    )  # fmt: skip
    assert greedy.stdout is not None
    assert greedy.stdout.readline() == "ready\n"
    written = 0
    while greedy.poll() is None:
        with database.write():
            written += 1
    greedy.communicate()
    database.close()
    assert written > 20  # of about 60 turns; SQLite's own wait comes to about five


def test_a_write_that_waited_long_enough_is_overloaded_and_the_connection_goes_on(
    config: StoreConfig,
) -> None:
    database = Database(config.model_copy(update={"busy_s": 0.2, "connections": 1}))
    other = sqlite3.connect(config.folder / "store.db", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    began = time.monotonic()
    with pytest.raises(Overloaded, match="busy"), database.write():
        pass
    assert 0.15 < time.monotonic() - began < 2.0
    other.execute("COMMIT")
    with database.write() as connection:
        assert connection.execute(text("PRAGMA busy_timeout")).scalar() == 200
    other.close()
    database.close()

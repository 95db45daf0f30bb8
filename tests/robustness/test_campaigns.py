"""A short run of the whole suite: clients, faults and verdicts on real servers.

`make robustness SECONDS=600` is the long one.
"""

import random
from pathlib import Path

import pytest

from tests.postgres import Postgres
from tests.robustness.campaign import Plan, Report, campaign
from tests.robustness.damage import damage, unsure_from, verdict
from tests.robustness.faults import POSSIBLE
from tests.robustness.powercut import COMPILER

NETWORK = ("cut", "hold", "lose", "pause")
BREAKS = ("kill", "cut", "power") if COMPILER else ("kill", "cut")
SECONDS = 1.5
DAMAGES = 6


async def ran(
    folder: Path, seed: int, casts: str, *faults: str, postgres: Postgres | None = None
) -> Report:
    """A short campaign in which something happened."""
    some = tuple(casts.split())
    plan = Plan(folder, seed, SECONDS, faults, some, damages=DAMAGES, postgres=postgres)
    report = await campaign(plan)
    assert report.faults, "no fault in all that time"
    assert report.samples, "nothing was stored"
    return report


async def test_a_bad_network_a_killed_server_and_damage_break_no_promise(tmp_path: Path) -> None:
    report = await ran(tmp_path, 1, "streams", "kill", "terminate", *NETWORK, "damage")
    assert report.violations == []
    assert report.faults["damage"] == DAMAGES


async def test_two_servers_on_a_postgres_that_crashes_break_no_promise(
    tmp_path: Path, postgres: Postgres
) -> None:
    report = await ran(tmp_path, 4, "streams written", "kill", "postgres", postgres=postgres)
    assert report.violations == []


@pytest.mark.skipif(COMPILER is None, reason="install a C compiler (cc): no power cuts")
async def test_a_disk_that_fills_fails_and_loses_power_breaks_no_promise(tmp_path: Path) -> None:
    assert set(POSSIBLE) >= {"power", "full", "syncs"}
    report = await ran(tmp_path, 2, "streams written", "power", "full", "syncs")
    assert report.violations == []


async def test_media_that_grow_are_whole_whatever_breaks(tmp_path: Path) -> None:
    report = await ran(tmp_path, 5, "growing", *BREAKS)
    assert report.violations == []
    assert report.operations["piece", "ok"] > 20


async def test_what_a_stream_keeps_is_kept_whatever_breaks(tmp_path: Path) -> None:
    report = await ran(tmp_path, 6, "keeping", *BREAKS)
    assert report.violations == []
    assert report.operations["rejects", "ok"]


def test_damage_that_is_read_without_a_word_is_a_finding(tmp_path: Path) -> None:
    store = tmp_path / "store"
    (store / "blobs").mkdir(parents=True)
    (store / "store.db").write_bytes(b"no database" * 100)
    done = damage(store, random.Random(1))
    assert verdict({"s": ("a",)}, store, done, unsure_from(store / "store.db-wal")) == ""
    done = damage(store, random.Random(1))
    (store / "store.db").unlink()
    assert "1 fewer" in verdict({"s": ("a",)}, store, done, 0)

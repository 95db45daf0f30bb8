"""Metrics: nothing without being asked, bounded labels, and the numbers that were told."""

import asyncio
import time
from collections.abc import Callable

import pytest

from services.telemetry import late, metrics
from services.telemetry.following import following


def lines(text: bytes) -> dict[str, float]:
    """Every figure by its name and labels."""
    pairs = (line.rsplit(" ", 1) for line in text.decode().splitlines() if line[0] != "#")
    return {name: float(value) for name, value in pairs}


def test_while_metrics_are_off_nothing_is_kept() -> None:
    metrics.SAMPLES.add(5, "anna")
    metrics.COMMIT_SECONDS.see(1.0)
    metrics.SESSIONS.set(3)
    with metrics.on(tenants_max=1) as registry:
        found = lines(metrics.written(registry))
    assert found["rankspace_commit_seconds_count"] == 0
    assert found["rankspace_sessions_open"] == 0
    assert not any("anna" in name for name in found)


def test_every_kind_of_metric_keeps_what_it_is_told() -> None:
    with metrics.on(tenants_max=9) as registry:
        metrics.SAMPLES.add(5, "anna")
        metrics.SAMPLES.add(2, "anna")
        metrics.COMMIT_SECONDS.see(0.003)
        metrics.CALLS_OPEN.add(1, "m")
        metrics.CALLS_OPEN.add(-1, "m")
        metrics.JOBS.set(4, "queued")
        found = lines(metrics.written(registry))
    assert found['rankspace_append_samples_total{tenant="anna"}'] == 7
    assert found['rankspace_commit_seconds_bucket{le="0.002"}'] == 0
    assert found['rankspace_commit_seconds_bucket{le="0.005"}'] == 1
    assert found['rankspace_calls_open{method="m"}'] == 0
    assert found['rankspace_jobs{state="queued"}'] == 4


def test_beyond_so_many_tenants_all_are_others() -> None:
    with metrics.on(tenants_max=2) as registry:
        for tenant in ("a", "b", "c", "d", "a", "c"):
            metrics.BYTES.add(1, tenant)
            metrics.REJECTS.add(1, tenant, "LIMIT_EXCEEDED")
        found = lines(metrics.written(registry))
    name = "rankspace_append_bytes_total"
    assert {key: value for key, value in found.items() if key.startswith(name)} == {
        f'{name}{{tenant="a"}}': 2,
        f'{name}{{tenant="b"}}': 1,
        f'{name}{{tenant="other"}}': 3,
    }


def test_names_are_unique_and_say_their_unit() -> None:
    names = [metric.name for metric in metrics.KNOWN]
    assert len(set(names)) == len(names)
    for metric in metrics.KNOWN:
        assert metric.name.endswith("_total") == isinstance(metric, metrics.Counter)
        assert metric.meaning.endswith(".")
        assert "tenant" not in metric.labels[1:]  # the first label is the one that is bounded


def test_the_lag_is_that_of_the_follower_furthest_behind() -> None:
    with metrics.on(tenants_max=1) as registry:

        def lag() -> tuple[float, float]:
            found = lines(metrics.written(registry))
            return found["rankspace_followers"], found["rankspace_follower_lag_samples"]

        with following() as first:
            first(10)
            with following() as second:
                second(70)
                assert lag() == (2, 70)
                second(3)
                assert lag() == (2, 10)
            first(0)
            assert lag() == (1, 0)
        assert lag() == (0, 0)


def computes(seconds: float) -> None:
    until = time.thread_time() + seconds
    while time.thread_time() < until:
        pass


@pytest.mark.parametrize(("blocks", "itself"), [(time.sleep, 0), (computes, 1)])
async def test_a_loop_that_is_blocked_is_seen_to_be_late_and_busy_if_it_computes(
    blocks: Callable[[float], None], itself: int
) -> None:
    with metrics.on(tenants_max=1) as registry:
        async with late.watched():
            await asyncio.sleep(0.05)
            blocks(0.15)  # the fault that is looked for
            await asyncio.sleep(0.02)
        found = lines(metrics.written(registry))
    busy = "rankspace_event_loop_busy_seconds"
    assert found["rankspace_event_loop_late_seconds_max"] >= 0.14
    assert found["rankspace_event_loop_late_seconds_count"] == found[f"{busy}_count"] >= 3
    assert found[f"{busy}_count"] - found[f'{busy}_bucket{{le="0.1"}}'] == itself


def test_two_servers_after_another_count_each_for_itself() -> None:
    for _ in range(2):
        with metrics.on(tenants_max=1) as registry:
            metrics.COMMIT_GROUP.see(2)
            found = lines(metrics.written(registry))
            assert found["rankspace_commit_group_count"] == pytest.approx(1)

"""Leases: one of many gets one, terms only grow, and what an old holder does is refused."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from rankspace.errors import Fenced
from rankspace.store.config import StoreConfig
from rankspace.store.jobs import HANDING_OUT
from rankspace.store.leases import Lease
from rankspace.store.store import Store


@pytest.fixture
def store(tmp_path: Path, address: Callable[[], str]) -> Store:
    return Store.open(StoreConfig(folder=tmp_path / "store", url=address()))


def test_of_many_who_see_the_same_one_gets_the_lease_and_terms_only_grow(store: Store) -> None:
    leases = store.leases
    for term in range(1, 5):
        seen = leases.get("l")
        with ThreadPoolExecutor(6) as pool:
            taken = list(pool.map(leases.take, [seen] * 6, "abcdef"))
        (held,) = [lease for lease in taken if lease is not None]
        assert leases.get("l") == held == Lease("l", held.holder, term, 0)
        if term % 2:
            leases.give(held)
            assert leases.get("l") == Lease("l", "", term, 0)
    store.close()


def test_a_beat_is_seen_and_only_the_holder_s_counts(store: Store) -> None:
    leases = store.leases
    first = leases.take(leases.get("l"), "a")
    assert first is not None
    assert leases.beat(first)
    assert leases.get("l").beat == 1
    assert leases.take(first, "b") is None  # it has beaten since
    second = leases.take(leases.get("l"), "b")
    assert second is not None
    assert not leases.beat(first)
    leases.give(first)  # it is no longer the first one's to give
    assert leases.get("l") == second
    store.close()


def test_what_is_done_in_an_old_term_is_refused_and_changes_nothing(store: Store) -> None:
    leases, jobs = store.leases, store.catalogue.jobs
    job = jobs.create("", {"streams": ["s"]}).job_id
    old = leases.take(leases.get(HANDING_OUT), "a")
    assert old is not None
    assert jobs.append_event(job, {"state": "running"}, term=old.term) == 1
    assert jobs.wish(job, old.term) == "run"
    new = leases.take(leases.get(HANDING_OUT), "b")
    assert new is not None
    with pytest.raises(Fenced):
        jobs.append_event(job, {"state": "succeeded"}, term=old.term)
    with pytest.raises(Fenced):
        jobs.wish(job, old.term)
    assert jobs.get(job).revision == 1
    assert jobs.append_event(job, {"state": "succeeded"}, term=new.term) == 2
    store.close()


def test_an_event_is_written_only_after_the_one_it_was_decided_on(store: Store) -> None:
    jobs = store.catalogue.jobs
    job = jobs.create("", {"streams": ["s"]}).job_id
    with ThreadPoolExecutor(6) as pool:
        told = list(pool.map(lambda step: jobs.append_event(job, {"step": step}, 0), range(6)))
    assert sorted(told) == [0, 0, 0, 0, 0, 1]
    assert jobs.append_event(job, {"step": 9}, 0) == 0
    assert jobs.append_event(job, {"step": 9}, 1) == 2
    store.close()

"""Jobs: one per request, events without a gap, an end that stays the end."""

from concurrent.futures import ThreadPoolExecutor

import pytest

from rankspace.errors import AlreadyExists, InvalidInput, NotFound, Refused
from rankspace.store.entries import JobState
from rankspace.store.jobs import Jobs
from rankspace.store.store import Store


@pytest.fixture
def jobs(store: Store) -> Jobs:
    return store.catalogue.jobs


def test_the_same_request_is_the_same_job(jobs: Jobs) -> None:
    one = jobs.create("r", {"steps": 1})
    assert jobs.create("r", {"steps": 1}) == one
    assert (one.state, one.wish, one.revision, one.last_event) == ("queued", "run", 0, None)
    with pytest.raises(AlreadyExists):
        jobs.create("r", {"steps": 2})


def test_requests_without_a_name_are_never_the_same(jobs: Jobs) -> None:
    assert jobs.create("", {}).job_id != jobs.create("", {}).job_id


def test_events_move_the_state_and_are_read_from_any_revision(jobs: Jobs) -> None:
    job = jobs.create("", {}).job_id
    assert jobs.append_event(job, {"state": "running", "step": 1}) == 1
    assert jobs.append_event(job, {"step": 2}) == 2
    found = jobs.get(job)
    assert (found.state, found.revision, found.last_event) == ("running", 2, {"step": 2})
    assert [event.body["step"] for event in jobs.events(job)] == [1, 2]
    assert [event.revision for event in jobs.events(job, after_revision=1)] == [2]
    assert [event.revision for event in jobs.events(job, limit=1)] == [1]


def test_revisions_have_no_gap_whoever_writes(jobs: Jobs) -> None:
    job = jobs.create("", {}).job_id
    with ThreadPoolExecutor(4) as pool:
        given = list(pool.map(lambda step: jobs.append_event(job, {"step": step}), range(24)))
    assert sorted(given) == list(range(1, 25))
    assert [event.revision for event in jobs.events(job)] == list(range(1, 25))


@pytest.mark.parametrize("state", ["succeeded", "failed", "cancelled"])
def test_a_job_that_has_ended_stays_ended(jobs: Jobs, state: JobState) -> None:
    job = jobs.create("", {}).job_id
    jobs.append_event(job, {"state": state})
    with pytest.raises(Refused):
        jobs.append_event(job, {"state": "running"})
    with pytest.raises(Refused):
        jobs.set_wish(job, "run")


def test_a_wish_is_heard_and_cancelling_twice_is_no_error(jobs: Jobs) -> None:
    job = jobs.create("", {}).job_id
    jobs.set_wish(job, "pause")
    assert jobs.wish(job) == "pause"
    jobs.set_wish(job, "cancel")
    jobs.append_event(job, {"state": "cancelled"})
    assert jobs.set_wish(job, "cancel").state == "cancelled"


def test_lists_come_in_pages_the_newest_first(jobs: Jobs) -> None:
    made = [jobs.create(str(n), {}).job_id for n in range(3)]
    jobs.append_event(made[1], {"state": "running"})
    first = jobs.list(size=2)
    last = jobs.list(size=2, token=first.next_token)
    assert [job.job_id for job in (*first.items, *last.items)] == made[::-1]
    assert last.next_token == ""
    assert [job.job_id for job in jobs.list(state="running").items] == [made[1]]
    jobs.append_event(made[0], {"state": "failed"})
    assert [job.job_id for job in jobs.unfinished()] == made[1:]
    with pytest.raises(InvalidInput):
        jobs.list(token="x")  # noqa: S106 - a page token, not a secret


def test_a_job_that_is_not_there_is_not_found(jobs: Jobs) -> None:
    with pytest.raises(NotFound):
        jobs.get("none")
    with pytest.raises(NotFound):
        jobs.events("none")
    with pytest.raises(NotFound):
        jobs.append_event("none", {})
    with pytest.raises(NotFound):
        jobs.set_wish("none", "run")

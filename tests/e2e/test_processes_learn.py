"""Learning with two server processes: asked of either, run once, and gone on with when one dies."""

import os
import signal
from collections.abc import Iterator, Mapping
from typing import Any

import pytest

from rankspace.client import Client
from rankspace.generation.request import Sampling, Target
from rankspace.media.sample import Part
from rankspace.store.entries import JobEvent
from tests.e2e.conftest import Server
from tests.e2e.several import connected, leader, processes, until
from tests.listening import family, listeners
from tests.services.local.small import JOB, samples

pytestmark = [pytest.mark.cluster, pytest.mark.slow, pytest.mark.timeout(300)]

ENDLESS = {"steps": 100_000, "patience": 0, "evaluate_every": 5, "checkpoint_every": 1}


@pytest.fixture(autouse=True)
def _two(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every server of this file has two processes, and says at once what a job does."""
    monkeypatch.setenv("RANKSPACE_SERVER__PROCESSES", "2")


def fed(client: Client) -> None:
    client.create_stream("s")
    assert client.append("s", samples(40)).errors == ()


def trained(events: Iterator[JobEvent]) -> Mapping[str, Any]:
    """What the job tells next of its training."""
    return next(event.body for event in events if event.body["step"] and event.body["loss"])


def test_a_job_asked_of_the_process_that_does_not_run_it_is_learnt_and_served_by_both(
    server: Server,
) -> None:
    one = leader(server)
    (other,) = processes(server) - {one}
    with connected(server, other) as client, connected(server, one) as runs:
        fed(client)
        job = client.create_job(JOB).job_id
        events = list(client.watch_job(job))
        assert events[-1].body["state"] == "succeeded", events[-1].body["message"]
        assert [event.revision for event in runs.watch_job(job)] == [e.revision for e in events]
        assert [event.body["phase"] for event in events].count("starting") == 1
        word, question = Target(modality="text", role="word"), Part("text", b"after 3 comes")
        answers = [asked.ask([question], word, Sampling(greedy=True)) for asked in (client, runs)]
        assert answers[0].text == answers[1].text
        assert [found.model for found in answers] == ["model@1", "model@1"]
    assert leader(server) == one


def test_a_job_whose_server_process_is_killed_goes_on_with_the_other(server: Server) -> None:
    one = leader(server)
    (other,) = processes(server) - {one}
    with connected(server, other) as client:
        fed(client)
        job = client.create_job(JOB.model_copy(update=ENDLESS)).job_id
        watching = client.watch_job(job)
        step = trained(watching)["step"]
        check_ports(server, {one, other})
        os.kill(one, signal.SIGKILL)
        taken_up = next(event.body for event in watching if event.body["phase"] == "queued")
        assert "goes on from its last checkpoint" in taken_up["message"]
        assert trained(watching)["step"] >= step
        assert leader(server) == other
        until(lambda: len(processes(server)) == 2)
        (again,) = processes(server) - {other}
        with connected(server, again) as far:
            far.cancel_job(job)
        assert list(watching)[-1].body["state"] == "cancelled"


def check_ports(server: Server, both: set[int]) -> None:
    """Supervisor, both processes, driver, Ray and worker: nothing can be reached from outside."""
    found = list(listeners(family(server.process_id, f"{server.data}/ray")))
    shared = int(server.address.rpartition(":")[2])
    assert {each.process for each in found if each.port == shared} == both
    assert len({each.process for each in found}) > 4, found
    assert [each for each in found if not each.is_loopback] == []

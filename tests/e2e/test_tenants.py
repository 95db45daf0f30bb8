"""Two tenants learn on one server: neither sees, hears, stops or asks what is the other's."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from rankspace.client import Client
from rankspace.errors import Denied, InvalidInput, NotFound
from rankspace.generation.request import Sampling, Target
from rankspace.media.sample import Part
from rankspace.store.config import StoreConfig
from rankspace.store.store import Store
from tests.e2e.conftest import Server
from tests.services.holders import issue
from tests.services.local.small import JOB, samples

pytestmark = [pytest.mark.cluster, pytest.mark.slow, pytest.mark.timeout(300)]

WORD = Target(modality="text", role="word")
QUESTION = Part("text", b"after 3 comes")
OWNER, STRANGERS = "acme", ("bolt", "")


@pytest.fixture
def tokens(server: Server) -> dict[str, str]:
    """A token of each tenant, and one of none; each may do everything."""
    with Store.open(StoreConfig(folder=server.data)) as store:
        return {name: issue(store, f"of {name}", tenant=name) for name in (OWNER, *STRANGERS)}


def test_a_tenant_s_job_learns_to_its_end_and_is_nobody_else_s(
    server: Server, tokens: dict[str, str], tmp_path: Path
) -> None:
    with Client(server.address, token=tokens[OWNER]) as client:
        client.create_stream("s")
        assert client.append("s", samples(40)).errors == ()
        job = client.create_job(JOB).job_id
        watching = client.watch_job(job)
        next(event for event in watching if event.body["phase"] == "starting")
        for name in STRANGERS:  # while it runs
            with Client(server.address, token=tokens[name]) as stranger:
                check_job_is_not_there(stranger, job)
        events = list(watching)
        assert events[-1].body["state"] == "succeeded", events[-1].body["message"]
        assert client.get_job(job).wish == "run"
        check_everything_is_there(client, tmp_path / "own")
        for name in STRANGERS:
            with Client(server.address, token=tokens[name]) as stranger:
                check_job_is_not_there(stranger, job)
                check_model_is_not_there(stranger, tmp_path / "stolen")
        assert [event.body for event in events if f"{OWNER}/" in str(event.body)] == []
    with Client(server.address) as nobody, pytest.raises(Denied):
        nobody.get_job(job)


def check_everything_is_there(client: Client, out: Path) -> None:
    """The owner sees the model under the names it asked for, and it answers."""
    assert [model.reference for model in client.list_model_versions("model")] == ["model@1"]
    assert client.get_alias("default").reference == "model@1"
    assert client.ask([QUESTION], WORD, Sampling(greedy=True)).model == "model@1"
    client.export_model_version("default", out)
    assert (out / "config.json").exists() or list(out.iterdir())


def check_job_is_not_there(stranger: Client, job: str) -> None:
    """Not to be read, watched, stopped, resumed or found in a list."""
    assert list(stranger.list_jobs()) == []
    for ask in (stranger.get_job, stranger.cancel_job, stranger.pause_job, stranger.resume_job):
        refuses(ask, job)
    refuses(lambda: list(stranger.watch_job(job)))


def check_model_is_not_there(stranger: Client, out: Path) -> None:
    """Not to be listed, asked, taken home or promoted; nor is the stream it was learnt from."""
    assert list(stranger.list_streams()) == []
    for name in ("model", "model@1", "default"):
        refuses(partial(stranger.ask, model=name), [QUESTION], WORD)
        refuses(stranger.export_model_version, name, out)
        with pytest.raises(InvalidInput):
            stranger.export_model_version(f"{OWNER}/{name}", out)
    refuses(stranger.promote_alias, "mine", "model@1")
    refuses(lambda: list(stranger.list_model_versions("model")))
    refuses(stranger.create_job, JOB)
    assert not out.exists() or list(out.iterdir()) == []


def refuses(ask: Callable[..., Any], *arguments: object) -> None:
    """It is answered like what is not there."""
    with pytest.raises(NotFound):
        ask(*arguments)

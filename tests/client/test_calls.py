"""Every call of the client against a real server: streams, jobs, models and sessions."""

import asyncio
import hashlib
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from pathlib import Path

import pytest

from rankspace.client import Answer, AppendSummary, AsyncClient, Client
from rankspace.client.generation import collect
from rankspace.errors import (
    AlreadyExists,
    InvalidInput,
    MalformedMedia,
    NotFound,
    OffsetGap,
    RankspaceError,
    Unreachable,
)
from rankspace.generation.request import Delta, Target, Usage
from rankspace.media.encode import wav_header
from rankspace.media.sample import Part, Sample
from rankspace.store.entries import Rejected
from rankspace.training.job import Event, JobConfig
from rankspace.wire.ingestion import Filter
from tests.client.conftest import Site

TEXT = Target(modality="text")
USAGE = Usage(1, 2, 3, 0.0, 0.0)


def samples(count: int) -> list[Sample]:
    return [Sample(f"n{n}", (Part("text", b"text %d" % n, role="en"),)) for n in range(count)]


def test_streams_are_made_listed_closed_and_deleted(client: Client) -> None:
    made = client.create_stream("photos", "of cats", {"owner": "us"})
    assert (made.description, made.labels) == ("of cats", {"owner": "us"})
    assert client.get_stream("streams/photos") == client.get_stream("photos") == made
    with pytest.raises(AlreadyExists):
        client.create_stream("photos")
    for number in range(105):
        client.create_stream(f"s{number:03}")
    names = [stream.name for stream in client.list_streams()]
    assert names == ["photos", *(f"s{number:03}" for number in range(105))]
    assert client.finalize_stream("photos").finalized
    client.delete_stream("photos")
    with pytest.raises(NotFound):
        client.get_stream("photos")


def test_an_append_tells_how_far_it_is_and_what_was_refused(client: Client) -> None:
    client.create_stream("s")
    told: list[AppendSummary] = []
    bad = Sample("bad", (Part("text", b"\xff"),))
    summary = client.append("s", [*samples(3), bad, *samples(2)], progress=told.append)
    assert (summary.samples, summary.rejected, summary.next_offset) == (6, 1, 6)
    assert told[-1] == summary
    (error,) = summary.errors
    assert (error.offset, error.sample_id, type(error.error)) == (3, "bad", MalformedMedia)
    assert [at for at, _ in client.read("s")] == [0, 1, 2, 4, 5]
    entries = dict(client.read_entries("s", 3, limit=2))
    assert isinstance(entries[3], Rejected)
    assert entries[4] == samples(1)[0]
    assert client.append("s", [], take_over=True).samples == 0
    assert client.get_stream("s").epoch == 1


def test_reading_takes_what_is_wanted(client: Client) -> None:
    client.create_stream("s")
    one = Sample("one", (Part("text", b"a", role="ru"),), labels={"split": "valid"})
    client.append("s", [*samples(2), one])
    assert [at for at, _ in client.read("s", wanted=Filter(roles=frozenset({"ru"})))] == [2]
    assert [at for at, _ in client.read("s", wanted=Filter(labels={"split": "valid"}))] == [2]
    assert [at for at, _ in client.read("s", 1, limit=1)] == [1]


def test_a_gap_is_refused_and_a_source_s_own_error_is_not_swallowed(client: Client) -> None:
    client.create_stream("s")
    with pytest.raises(OffsetGap, match="start at its end"):
        client.append("s", samples(1), offset=7)
    with pytest.raises(ZeroDivisionError):
        client.append("s", (Sample(str(1 // n), ()) for n in (1, 0)))
    with pytest.raises(NotFound):
        client.append("gone", samples(1))


async def test_the_asynchronous_client_takes_any_iterable(site: Site) -> None:
    async with AsyncClient(site.address) as client:
        await client.create_stream("s")
        await client.append("s", samples(2))
        await client.append("s", (sample async for _, sample in client.read("s")))
        assert (await client.get_stream("s")).next_offset == 4
        with pytest.raises(ZeroDivisionError):
            await client.append("s", (Sample(str(1 // n), ()) for n in (1, 0)))


def test_many_threads_may_use_one_client(client: Client) -> None:
    client.create_stream("s")
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda _: client.get_stream("s").name, range(64)))
    assert found == ["s"] * 64


def test_jobs_are_submitted_once_and_steered(client: Client) -> None:
    config = JobConfig(streams=("s",), steps=7)
    job = client.create_job(config, "request-1")
    assert client.create_job(config, "request-1").job_id == job.job_id
    assert job.config["steps"] == 7
    assert client.pause_job(job.job_id).wish == "pause"
    assert client.resume_job(job.job_id).wish == "run"
    assert client.cancel_job(job.job_id).wish == "cancel"
    assert client.create_job(config).job_id != job.job_id
    assert {found.job_id for found in client.list_jobs()} >= {job.job_id}
    with pytest.raises(NotFound):
        client.get_job("gone")


def test_a_watch_hears_every_event_once_though_the_server_restarts(
    site: Site, client: Client
) -> None:
    job = client.create_job(JobConfig(streams=("s",))).job_id

    def report(*steps: int) -> None:
        for step in steps:
            event = Event(phase="training", step=step, steps=9)
            site.store.catalogue.jobs.append_event(job, event.model_dump(mode="json"))

    events = client.watch_job(job)
    report(0, 1, 2)
    heard = [event.body["step"] for event in islice(events, 3)]
    site.stop()
    report(3, 4)
    site.start()
    heard += [event.body["step"] for event in islice(events, 2)]
    done = Event(phase="done", state="succeeded", step=5)
    site.store.catalogue.jobs.append_event(job, done.model_dump(mode="json"))
    heard += [event.body["step"] for event in events]
    assert heard == list(range(6))
    assert [event.revision for event in client.watch_job(job, after_revision=4)] == [5, 6]


def test_models_are_named_moved_and_exported_whole(
    site: Site, client: Client, tmp_path: Path
) -> None:
    made = tmp_path / "made"
    (made / "sub").mkdir(parents=True)
    (made / "weights").write_bytes(bytes(range(256)) * 9999)
    (made / "sub" / "empty").touch()
    for _ in range(2):
        site.store.catalogue.models.register("m", made, {"metrics": {"loss": 1.5}})
    assert [found.reference for found in client.list_model_versions("m")] == ["m@2", "m@1"]
    assert [found.reference for found in client.list_model_versions()] == ["m@2"]
    client.promote_alias("best", "m@1")
    assert client.promote_alias("best", "m@2").history == ("m@1",)
    assert client.roll_back_alias("best").reference == "m@1"
    assert [alias.alias for alias in client.list_aliases()] == ["best"]
    assert client.get_alias("best").version == 1
    for reference, version in (("best", 1), ("m", 2), ("m@1", 1)):
        assert client.get_model_version(reference).version == version
    found = client.export_model_version("best", tmp_path / "out")
    assert set(found.files) == {"weights", "sub/empty"}
    for name in found.files:
        assert (tmp_path / "out" / name).read_bytes() == (made / name).read_bytes()
    with pytest.raises(AlreadyExists, match="name a new folder"):
        client.export_model_version("best", tmp_path / "out")
    for gone in ("gone", "gone@1"):
        with pytest.raises(NotFound):
            client.get_model_version(gone)


def test_an_answer_comes_as_it_is_made_and_whole(client: Client) -> None:
    deltas = list(client.generate(["par", Part("text", b"rot")], TEXT))
    assert b"".join(delta.data for delta in deltas) == b"parrot"
    assert [delta.final for delta in deltas] == [False] * 6 + [True]
    answer = client.ask("a word", TEXT)
    assert (answer.text, answer.model, answer.usage.prompt_parts) == ("a word", "parrot@1", 1)
    assert client.embed(["a", "b"]).vector == (2.0,)
    assert client.score(["a"]).model == "parrot@1"


def test_a_session_goes_on_after_an_interrupt_and_a_refusal(client: Client) -> None:
    with client.session() as session:
        assert (session.session_id, session.model) == ("session-1", "parrot@1")
        session.send("hi")
        assert len(list(session.ask(TEXT))) == 3
        endless = session.ask(Target(modality="text", role="on"))
        assert not next(endless).final
        session.interrupt()
        last = list(endless)[-1]
        assert last.final
        assert last.usage is not None
        assert last.usage.interrupted
        with pytest.raises(NotFound, match="no such role") as caught:
            list(session.ask(Target(modality="text", role="refuse")))
        assert caught.value.field == "ask.target.role"
        assert b"".join(delta.data for delta in session.ask(TEXT)) == b"hi"


def test_a_part_that_is_refused_can_be_said_again(client: Client) -> None:
    with client.session() as session:
        session.send("so ")
        session.send(Part("audio", b"so", "pcm_s16le", rate_hz=-1))
        session.send("what")
        with pytest.raises(InvalidInput, match="rate_hz"):
            list(session.ask(TEXT))
        session.send("what")
        assert b"".join(delta.data for delta in session.ask(TEXT)) == b"so what"


def test_to_leave_an_answer_ends_the_session(client: Client) -> None:
    with client.session() as session:
        session.send("so")
        for delta in session.ask(TEXT):
            if delta.final:
                break  # this is not to leave it
        for _ in session.ask(TEXT):
            break
        with pytest.raises(Unreachable, match="open another"):
            list(session.ask(TEXT))


def test_an_answer_that_is_left_midway_frees_the_session(site: Site, client: Client) -> None:
    for delta in client.generate(["on and on"], Target(modality="text", role="on")):
        assert not delta.final
        break
    assert client.ask("again", TEXT).text == "again"


def test_a_fault_of_the_server_is_told_without_its_secrets(client: Client) -> None:
    with pytest.raises(RankspaceError, match="a fault of its own") as caught:
        client.ask("x", Target(modality="text", role="break"))
    assert "secret" not in str(caught.value)


def test_a_session_ends_with_its_server(site: Site, client: Client) -> None:
    with client.session() as session:
        site.stop()
        with pytest.raises(Unreachable):
            list(session.ask(TEXT))
        with pytest.raises(Unreachable):
            session.send("more")
    site.start()
    assert client.ask("back", TEXT).text == "back"


async def test_cancelling_a_task_cancels_its_call(site: Site) -> None:
    async with AsyncClient(site.address) as client:
        await client.create_stream("s")

        async def wait() -> None:
            await anext(client.read("s", follow=True))

        task = asyncio.create_task(wait())
        await asyncio.sleep(0.1)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert (await client.get_stream("s")).name == "s"


@pytest.mark.parametrize("replaces", [False, True])
def test_deltas_add_up_unless_one_replaces_what_came_before(replaces: bool) -> None:
    deltas = [
        Delta(0, "image", "", "png", b"rough"),
        Delta(1, "image", "", "png", b"fine", replaces=replaces),
        Delta(2, "image", "", "png", b"", final=True, usage=USAGE),
    ]
    assert collect(deltas).data == (b"fine" if replaces else b"roughfine")
    with pytest.raises(Unreachable, match="broke off"):
        collect(deltas[:2])


def test_sound_is_a_wav_of_known_length_however_it_came() -> None:
    pcm = bytes(range(200))
    streamed = Answer("audio", "", "wav", wav_header() + pcm, (), USAGE, "m@1")
    raw = Answer("audio", "", "pcm_s16le", pcm, (), USAGE, "m@1")
    assert streamed.wav == raw.wav == wav_header(samples=100) + pcm
    assert hashlib.sha256(raw.wav[44:]).digest() == hashlib.sha256(pcm).digest()
    for wrong in (lambda: raw.text, lambda: Answer("text", "", "", b"", (), USAGE, "").wav):
        with pytest.raises(MalformedMedia):
            wrong()


def test_what_the_wire_cannot_carry_is_refused_at_home(client: Client) -> None:
    client.create_stream("s")
    with pytest.raises(InvalidInput, match="text has no encoding"):
        client.append("s", [Sample("a", (Part("text", b"a", encoding="wav"),))])

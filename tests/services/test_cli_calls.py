"""Commands against a real server: what they print, where, and how they end."""

import json
import logging
from collections.abc import Iterator
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
import structlog
from rich.console import Console
from typer.testing import CliRunner, Result

from rankspace.training.job import Event
from services.cli.app import app
from services.cli.jobs import _table
from tests.client.conftest import Site


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    # The server's log would mix with what commands print: here they share a process.
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    opened = Site(tmp_path / "store")
    yield opened
    opened.stop()
    opened.store.close()
    structlog.reset_defaults()


def run(site: Site, *arguments: str | Path, lines: str | None = None) -> Result:
    environment = {"RANKSPACE_SERVER": site.address, "COLUMNS": "200"}
    return CliRunner().invoke(
        app, [*map(str, arguments)], env=environment, input=lines, prog_name="rankspace"
    )


def lines(result: Result) -> list[dict[str, Any]]:
    """What a command printed as JSON, if all was well."""
    assert result.exit_code == 0, result.stderr
    return [json.loads(line) for line in result.stdout.splitlines()]


def test_streams_are_made_shown_closed_and_deleted(site: Site) -> None:
    (made,) = lines(run(site, "streams", "create", "s", "--description", "of us", "--json"))
    (bare,) = lines(run(site, "streams", "create", "bare", "--strip-metadata", "--json"))
    assert (made["strip_metadata"], bare["strip_metadata"]) == (False, True)
    run(site, "streams", "delete", "bare", "--yes")
    assert (made["name"], made["description"]) == ("s", "of us")
    shown = run(site, "streams", "show", "s")
    header, row = shown.stdout.splitlines()
    assert header.split()[:3] == ["name", "next_offset", "rejected"]
    assert row.split()[:4] == ["s", "0", "0", "0"]
    assert lines(run(site, "streams", "finalize", "s", "--json"))[0]["finalized"]
    assert run(site, "streams", "delete", "s", lines="n\n").exit_code == 1
    assert len(lines(run(site, "streams", "list", "--json"))) == 1
    assert run(site, "streams", "delete", "s", "--yes").exit_code == 0
    assert lines(run(site, "streams", "list", "--json")) == []
    gone = run(site, "streams", "show", "s")
    assert (gone.exit_code, gone.stdout) == (1, "")
    assert gone.stderr.startswith("rankspace: there is no stream s; look with")


@pytest.mark.parametrize(("state", "status"), [("succeeded", 0), ("failed", 1), ("cancelled", 1)])
def test_a_job_is_submitted_followed_and_judged(site: Site, state: Any, status: int) -> None:
    submit = ("train", "s", "-s", "steps=2", "-s", "size=tiny", "--detach", "--json")
    (job,) = lines(run(site, *submit))
    assert (job["config"]["streams"], job["config"]["steps"]) == (["s"], 2)
    for event in (
        Event(phase="training", step=1, steps=2, loss=2.5, message="well"),
        Event(phase="done", state=state, step=2, steps=2, message="the end"),
    ):
        site.store.catalogue.jobs.append_event(job["job_id"], event.model_dump(mode="json"))
    watched = run(site, "jobs", "watch", job["job_id"], "--json")
    assert watched.exit_code == status
    events = [json.loads(line) for line in watched.stdout.splitlines()]
    assert [event["body"]["phase"] for event in events] == ["training", "done"]
    told = run(site, "jobs", "watch", job["job_id"])
    assert told.exit_code == status
    assert told.stderr.splitlines() == ["training 1/2 loss 2.5 well", "done 2/2 the end"]
    assert state in told.stdout
    assert lines(run(site, "jobs", "list", "--json"))[0]["state"] == state


def test_jobs_are_steered(site: Site) -> None:
    (job,) = lines(run(site, "train", "s", "--detach", "--json"))
    for command, wish in (("pause", "pause"), ("resume", "run"), ("cancel", "cancel")):
        assert lines(run(site, "jobs", command, job["job_id"], "--json"))[0]["wish"] == wish
    assert "job_id" in run(site, "jobs", "show", job["job_id"]).stdout


def test_the_moving_table_shows_losses_weights_betas_and_what_looks_wrong() -> None:
    event = Event(
        phase="training",
        step=30,
        steps=60,
        progress=0.5,
        loss=1.25,
        held_out_loss=1.5,
        source_losses={"digits": 1.0},
        source_weights={"digits": 0.75, "photos": 0.25},
        betas={"mixture": 1.5},
        symbols_per_s=12345.6,
        eta_s=7.0,
        message="going well",
        warnings=("loss_spike",),
    )
    out = Console(file=StringIO(), width=120)
    out.print(_table(event.model_dump(mode="json"), 5.0))
    assert isinstance(out.file, StringIO)
    shown = out.file.getvalue()
    for piece in (
        "training", "step 30/60", "1.2500 nats/symbol", "1.5000 nats/symbol", "weight 0.750",
        "loss 1.0000", "weight 0.250", "β mixture", "1.500", "12,346 symbols/s", "7 s to go",
        "loss_spike", "going well",
    ):  # fmt: skip
        assert piece in shown, piece


def test_models_are_shown_moved_and_exported(site: Site, tmp_path: Path) -> None:
    made = tmp_path / "made"
    made.mkdir()
    (made / "weights").write_bytes(b"w")
    targets = [{"modality": "text", "role": "ru", "encoding": ""}]
    for _ in range(2):
        site.store.catalogue.models.register("m", made, {"targets": targets})
    assert [row["model"] for row in lines(run(site, "models", "list", "m", "--json"))] == [
        "m@2",
        "m@1",
    ]
    assert "text:ru" in run(site, "models", "show", "m@1").stdout
    assert run(site, "models", "export", "m@1", tmp_path / "out").exit_code == 0
    assert (tmp_path / "out" / "weights").read_bytes() == b"w"
    again = run(site, "models", "export", "m@1", tmp_path / "out")
    assert (again.exit_code, again.stderr.count("\n")) == (1, 1)


def test_aliases_are_moved_and_moved_back(site: Site, tmp_path: Path) -> None:
    (tmp_path / "made").mkdir()
    (tmp_path / "made" / "weights").touch()
    for _ in range(2):
        site.store.catalogue.models.register("m", tmp_path / "made", {})
    for version in ("m@1", "m@2"):
        (moved,) = lines(run(site, "models", "promote", "best", version, "--json"))
        assert moved["model"] == version
    assert lines(run(site, "models", "roll-back", "best", "--json"))[0]["model"] == "m@1"
    assert lines(run(site, "models", "aliases", "--json"))[0]["alias"] == "best"


def test_an_answer_goes_where_it_is_wanted(site: Site, tmp_path: Path) -> None:
    (tmp_path / "word.ru.txt").write_text("да")
    text = run(site, "generate", "so: ", tmp_path / "word.ru.txt", "--to", "text:ru")
    assert (text.exit_code, text.stdout, text.stderr) == (0, "so: да", "")
    (row,) = lines(run(site, "generate", "so", "--json", "-s", "greedy=true"))
    assert (row["text"], row["model"]) == ("so", "parrot@1")
    file = tmp_path / "out.png"
    written = run(site, "generate", "bytes", "--to", "image", "-o", file)
    assert (written.stdout, file.read_bytes()) == ("", b"bytes")
    piped = run(site, "generate", "bytes", "--to", "image")
    assert piped.stdout_bytes == b"bytes"
    (row,) = lines(run(site, "generate", "bytes", "--to", "image", "--json"))
    assert row["data_base64"] == "Ynl0ZXM="


def test_an_ingestion_in_which_nothing_is_stored_has_failed(site: Site, tmp_path: Path) -> None:
    (tmp_path / "bad.txt").write_bytes(b"\xff")
    done = run(site, "ingest", tmp_path / "bad.txt", "--stream", "s")
    assert done.exit_code == 1
    assert "refused 0 bad: the text is not UTF-8" in done.stderr
    assert "nothing was stored" in done.stderr
    missing = run(site, "ingest", tmp_path / "gone", "--stream", "s")
    assert missing.exit_code == 1
    assert "give a folder, a .jsonl, a .tar or a media file" in missing.stderr

"""The commands about what is in streams: tail, stats, update, rejects."""

import json
import time
from pathlib import Path

import pytest

from rankspace.client import Client
from rankspace.media.sample import Part, Sample
from tests.client.conftest import Site
from tests.services.test_cli_calls import lines, run, site

__all__ = ["site"]

PICTURE = b"not a picture"


@pytest.fixture
def filled(site: Site) -> Site:
    """Twelve texts, the last of them labelled, and a sample that was refused."""
    with Client(site.address) as client:
        client.create_stream("s", labels={"rejects": "keep"})
        texts = [Sample(f"n{at}", (Part("text", b"x", role="en"),)) for at in range(11)]
        last = Sample("last", (Part("text", b"y", role="ru"),), labels={"split": "valid"})
        client.append("s", [*texts, last, Sample("bad", (Part("image", PICTURE),))])
    return site


def test_a_tail_shows_the_last_ten_and_what_was_asked_for(filled: Site) -> None:
    shown = run(filled, "streams", "tail", "s").stdout.splitlines()
    assert len(shown) == 10
    assert shown[0] == "3 n3 [text:en 1 B]"
    assert shown[-2] == "11 last [text:ru 1 B] split=valid"
    assert shown[-1].startswith("12 bad refused MALFORMED_MEDIA: ")
    rows = lines(
        run(filled, "streams", "tail", "s", "--from", "0", "--label", "split=valid", "--json")
    )
    assert [row["offset"] for row in rows] == [11]
    rows = lines(run(filled, "streams", "tail", "s", "--from", "9", "--modality", "text", "--json"))
    assert [row["offset"] for row in rows] == [9, 10, 11]
    assert lines(run(filled, "streams", "tail", "s", "--role", "de", "--json")) == []


def test_a_tail_that_follows_ends_with_its_stream(filled: Site) -> None:
    with Client(filled.address) as client:
        client.finalize_stream("s")
    shown = run(filled, "streams", "tail", "s", "-f", "--from", "11").stdout.splitlines()
    assert [line.split()[0] for line in shown] == ["11", "12"]


def test_what_cannot_be_asked_for_is_said(filled: Site) -> None:
    wrong = run(filled, "streams", "tail", "s", "--modality", "smell")
    assert (wrong.exit_code, "no modality smell" in wrong.stderr) == (1, True)
    wrong = run(filled, "streams", "tail", "s", "--label", "split")
    assert (wrong.exit_code, "KEY=VALUE" in wrong.stderr) == (1, True)


def test_a_stream_is_made_with_labels(site: Site) -> None:
    made = run(site, "streams", "create", "kept", "--label", "rejects=keep", "--label", "a=b=c")
    assert made.exit_code == 0
    shown = run(site, "streams", "show", "kept").stdout
    assert {"rejects=keep", "a=b=c"} < set(shown.split())
    kept = run(site, "streams", "update", "kept", "--keep-seconds", "60", "--keep-bytes", "9")
    assert "age_s=60 bytes=9" in kept.stdout
    wrong = run(site, "streams", "create", "other", "--label", "rejects")
    assert (wrong.exit_code, "KEY=VALUE" in wrong.stderr) == (1, True)
    with Client(site.address) as client:
        assert client.get_stream("kept").labels == {"rejects": "keep", "a": "b=c"}
        client.append("kept", [Sample("bad", (Part("image", PICTURE),))])
        assert [one.sample_id for one in client.list_rejects("kept")] == ["bad"]


def test_stats_tell_how_fast_a_stream_has_grown(filled: Site) -> None:
    began = time.monotonic()
    once, again = lines(run(filled, "streams", "stats", "--looks", "2", "--every", "0.2", "--json"))
    assert time.monotonic() - began >= 0.2
    assert (once["name"], once["next_offset"], once["rejected"], once["bytes"]) == ("s", 13, 1, 12)
    assert "samples_per_s" not in once
    assert (again["samples_per_s"], again["bytes_per_s"]) == (0.0, 0.0)
    assert run(filled, "streams", "stats", "s").stdout.split()[0] == "name"


def test_a_stream_is_updated(filled: Site) -> None:
    (changed,) = lines(run(filled, "streams", "update", "s", "--keep-seconds", "60", "--json"))
    assert changed["retention"] == {"age_s": 60, "bytes": 0}
    update = ("streams", "update", "s", "--keep-bytes", "9", "--label", "a=b", "--json")
    (changed,) = lines(run(filled, *update))
    assert changed["retention"] == {"age_s": 60, "bytes": 9}
    assert changed["labels"] == {"a": "b"}


def test_refused_samples_are_listed_shown_and_tried_again(filled: Site, tmp_path: Path) -> None:
    (row,) = lines(run(filled, "rejects", "list", "s", "--json"))
    assert (row["offset"], row["sample_id"], row["reason"]) == (12, "bad", "MALFORMED_MEDIA")
    show = ("rejects", "show", "s", "12", "--save", tmp_path / "media", "--json")
    (row,) = lines(run(filled, *show))
    assert row["parts"] == [f"image {len(PICTURE)} B"]
    assert (tmp_path / "media" / "12-0.image").read_bytes() == PICTURE
    again = run(filled, "rejects", "retry", "s", "--json")
    assert again.exit_code == 1
    assert json.loads(again.stdout)["reason"] == "MALFORMED_MEDIA"
    gone = run(filled, "rejects", "show", "s", "3")
    assert (gone.exit_code, "no refused sample is kept" in gone.stderr) == (1, True)

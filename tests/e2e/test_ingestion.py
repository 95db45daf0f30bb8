"""A person's story with ingestion: servers die, files are bad, and nothing is lost or doubled."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from rankspace.client import Client
from rankspace.errors import ContentConflict, StreamFinalized
from rankspace.media.sample import Part, Sample
from tests.e2e.conftest import RANKSPACE, Server

SAMPLES = 3000


def samples(count: int = SAMPLES) -> Iterator[Sample]:
    """Mixed samples; every 500th is one that no server takes."""
    for number in range(count):
        data = b"\xff" if number % 500 == 250 else b"sample %d " % number * 20
        yield Sample(f"sample-{number}", (Part("text", data, role="en"),))


def troubled(server: Server, how: signal.Signals, after: tuple[int, ...]) -> Iterator[Sample]:
    """The same samples; after so many of them the server ends, and is back a little later."""
    with ThreadPoolExecutor(1) as later:
        for number, sample in enumerate(samples()):
            if number in after:
                server.end(how)
                later.submit(server.start)
            yield sample


@pytest.mark.parametrize(
    ("how", "after"), [(signal.SIGKILL, (700, 1900)), (signal.SIGTERM, (1300,))]
)
def test_a_server_that_dies_midway_loses_nothing_and_doubles_nothing(
    server: Server, how: signal.Signals, after: tuple[int, ...]
) -> None:
    heard: list[int] = []
    with Client(server.address) as client:
        client.create_stream("s")
        summary = client.append(
            "s", troubled(server, how, after), rejected=lambda error: heard.append(error.offset)
        )
        assert summary.reconnects >= len(after)
        assert (summary.samples, summary.next_offset) == (SAMPLES, SAMPLES)
        stored = dict(client.read("s"))
        refused = [number for number in range(SAMPLES) if number % 500 == 250]
        assert heard == [error.offset for error in summary.errors] == refused
        assert stored == {
            number: sample for number, sample in enumerate(samples()) if number not in refused
        }
        assert client.get_stream("s").rejected == len(refused)


def test_a_client_that_died_goes_on_with_the_same_input(server: Server) -> None:
    with Client(server.address) as client:
        client.create_stream("s")
        client.append("s", samples(700), offset=0)
        assert client.append("s", samples(700), offset=0).duplicates == 700
        summary = client.append("s", samples(1000), offset=0)
        assert client.get_stream("s").next_offset == 1000
        assert [error.offset for error in summary.errors] == [250, 750]
        with pytest.raises(ContentConflict):
            client.append("s", [Sample("other", (Part("text", b"other"),))], offset=0)
        client.finalize_stream("s")
        with pytest.raises(StreamFinalized):
            client.append("s", samples(1))


def test_a_reader_that_follows_hears_what_comes_until_the_stream_is_closed(server: Server) -> None:
    with Client(server.address) as writer, Client(server.address) as reader:
        writer.create_stream("s")
        read: list[str] = []
        follows = threading.Thread(
            target=lambda: read.extend(s.sample_id for _, s in reader.read("s", follow=True))
        )
        follows.start()
        for _ in range(3):
            writer.append("s", [Sample("again", (Part("text", b"a"),))])
        writer.finalize_stream("s")
        follows.join(timeout=20)
        assert read == ["again"] * 3


def test_an_iterable_may_use_the_client_it_is_appended_with(server: Server) -> None:
    with Client(server.address) as client:
        client.create_stream("from")
        client.create_stream("to")
        client.append("from", samples(100))
        client.append("to", (sample for _, sample in client.read("from")))
        assert client.get_stream("to").digest == client.get_stream("from").digest


def test_real_files_go_in_from_the_command_line(
    server: Server, run: Callable[..., subprocess.CompletedProcess[str]], tmp_path: Path
) -> None:
    folder = tmp_path / "files"
    folder.mkdir()
    for number in range(20):
        (folder / f"{number}.en.txt").write_text(f"sentence {number}")
    (folder / "7.en.txt").write_bytes(b"\xff")
    (folder / "readme.md").write_text("no media")
    done = run("ingest", folder, "--stream", "files", "--json")
    assert done.returncode == 0, done.stderr
    summary = json.loads(done.stdout)
    assert (summary["stored"], summary["rejected"], summary["offset"]) == (19, 1, 0)
    assert summary["errors"][0]["error"]["reason"] == "MALFORMED_MEDIA"
    assert "readme.md: passed over" in done.stderr.replace("\n", "")
    again = run("ingest", folder, "--stream", "files", "--offset", "0", "--json")
    assert json.loads(again.stdout)["duplicates"] == 20
    (listed,) = map(json.loads, run("streams", "list", "--json").stdout.splitlines())
    assert (listed["name"], listed["next_offset"], listed["rejected"]) == ("files", 20, 1)
    rows = run("streams", "read", "files", "--json", "--limit", "3").stdout.splitlines()
    assert [json.loads(row)["parts"] for row in rows] == [
        ["text:en 10 B"],
        ["text:en 10 B"],
        ["text:en 11 B"],
    ]
    gone = run("streams", "show", "gone")
    assert (gone.returncode, gone.stdout) == (1, "")
    assert gone.stderr.startswith("rankspace: there is no stream gone")


HEARING = [
    sys.executable, "-c",
    "import os, signal, sys; signal.signal(signal.SIGINT, signal.SIG_DFL);"
    "os.execv(sys.argv[1], sys.argv[1:])",
]  # fmt: skip
"""What runs a program that hears SIGINT, though the shell that runs the tests may ignore it."""


def test_an_interrupted_run_says_how_to_go_on_and_goes_on(
    server: Server, run: Callable[..., subprocess.CompletedProcess[str]], tmp_path: Path
) -> None:
    def line(number: int) -> str:
        return json.dumps({"sample_id": str(number), "parts": [{"text": f"text {number}"}]}) + "\n"

    manifest = tmp_path / "manifest.jsonl"
    os.mkfifo(manifest)
    ingest = subprocess.Popen(
        [*HEARING, RANKSPACE, "ingest", manifest, "--stream", "s", "--server", server.address],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    with manifest.open("w") as pipe, Client(server.address) as client:
        pipe.writelines(map(line, range(40)))
        pipe.flush()
        while next(client.list_streams(), None) is None:
            time.sleep(0.05)
        while client.get_stream("s").next_offset < 40:
            time.sleep(0.05)
        ingest.send_signal(signal.SIGINT)
        _, said = ingest.communicate(timeout=30)
    assert ingest.returncode == 130
    assert "run the same again with --offset 0" in said.replace("\n", " ")
    assert "Traceback" not in said
    manifest.unlink()
    manifest.write_text("".join(map(line, range(60))))
    again = run("ingest", manifest, "--stream", "s", "--offset", "0", "--json")
    assert json.loads(again.stdout)["next_offset"] == 60

"""Two servers on one PostgreSQL: streams are what they would be on one, whoever is killed."""

import os
import random
import signal
import subprocess
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from rankspace.client import Client
from rankspace.errors import ContentConflict, StreamFinalized, Unreachable
from rankspace.media.sample import Part, Sample
from tests.e2e.conftest import RANKSPACE, STARTS_WITHIN_S
from tests.postgres import Postgres

STREAMS = ("a", "b")
BATCH = 5


class Front:
    """One of several servers on the same database and the same folder of blobs."""

    def __init__(self, folder: Path, name: str, url: str) -> None:
        self._folder, self._port_file, self._url = folder, folder / f"{name}.port", url
        self.address = "127.0.0.1:0"
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Return once it serves."""
        self._port_file.unlink(missing_ok=True)
        settings = {"GATEWAY__PORT_FILE": str(self._port_file), "GATEWAY__GRACE_S": "0.5"}
        settings |= {"STORE__URL": self._url, "STORE__INLINE_BYTES_MAX": "64"}
        with (self._folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [RANKSPACE, "serve", "--address", self.address, "--folder", self._folder / "data"],
                env=os.environ | {f"RANKSPACE_{name}": value for name, value in settings.items()},
                stdout=log,
                stderr=log,
            )
        until = time.monotonic() + STARTS_WITHIN_S
        while not (self._port_file.exists() and self._port_file.read_text()):
            assert self._process.poll() is None, (self._folder / "log").read_text()
            assert time.monotonic() < until, (self._folder / "log").read_text()
            time.sleep(0.02)
        self.address = f"127.0.0.1:{self._port_file.read_text().strip()}"

    def end(self, how: signal.Signals) -> None:
        """Send a signal and wait."""
        if self._process is not None and self._process.poll() is None:
            self._process.send_signal(how)
            self._process.wait(timeout=30)


@pytest.fixture
def fronts(tmp_path: Path, postgres: Postgres) -> Iterator[list[Front]]:
    url = postgres.fresh()
    made = [Front(tmp_path, name, url) for name in ("one", "two")]
    try:
        with ThreadPoolExecutor() as pool:  # both make the tables at the same moment
            list(pool.map(Front.start, made))
        yield made
    finally:
        for front in made:
            front.end(signal.SIGTERM)


def sample(writer: int, number: int) -> Sample:
    """What a writer sends: a text beside its row, a sound in a blob."""
    name = f"{writer}-{number}"
    return Sample(name, (Part("text", name.encode()), Part("text", name.encode() * 40, role="l")))


def write(front: Front, writer: int, stream: str, total: int) -> dict[int, str]:
    """Append at the end of the stream as this server sees it, until all is acknowledged.

    Each batch goes to an offset: if another writer was there first it is refused, and tried further
    on. If an answer is lost, the same batch at the same offset tells what became of it.
    """
    told: dict[int, str] = {}
    number, at = 0, 0
    while number < total:
        batch = [sample(writer, number + step) for step in range(BATCH)]
        try:
            with Client(front.address) as client:
                done = client.append(stream, batch, offset=at)
        except ContentConflict as error:
            at = int(error.facts["next_offset"])
            continue
        except Unreachable:
            continue
        told |= {done.next_offset - BATCH + step: batch[step].sample_id for step in range(BATCH)}
        number, at = number + BATCH, done.next_offset
    return told


def test_two_servers_that_are_killed_keep_every_promise(
    fronts: list[Front], postgres: Postgres
) -> None:
    with Client(fronts[0].address) as client:
        for stream in STREAMS:
            client.create_stream(stream)
    chance = random.Random(0)
    with ThreadPoolExecutor(8) as pool:
        jobs = [
            pool.submit(write, fronts[writer % 2], writer, STREAMS[writer // 2 % 2], 30)
            for writer in range(4)
        ]
        for which in (0, 1):
            time.sleep(chance.uniform(0.3, 0.8))
            fronts[which].end(signal.SIGKILL)
            fronts[which].start()
        postgres.restart(signal.SIGQUIT)
        told = [job.result(timeout=90) for job in jobs]
    with Client(fronts[0].address) as one, Client(fronts[1].address) as other:
        for at, stream in enumerate(STREAMS):
            found = dict(one.read(stream))
            assert found == dict(other.read(stream))
            assert list(found) == list(range(one.get_stream(stream).next_offset))
            names = [entry.sample_id for entry in found.values()]
            assert len(set(names)) == len(names) == 60
            for writer in range(4):
                if writer // 2 % 2 == at:
                    assert all(
                        found[offset].sample_id == name for offset, name in told[writer].items()
                    )


def test_what_one_server_acknowledged_the_other_reads(fronts: list[Front]) -> None:
    with Client(fronts[0].address) as one, Client(fronts[1].address) as other:
        one.create_stream("s")
        assert one.append("s", [sample(0, number) for number in range(10)]).next_offset == 10
        assert dict(other.read("s")) == {number: sample(0, number) for number in range(10)}
        assert other.append("s", [sample(0, 10)], offset=10).next_offset == 11
        other.finalize_stream("s")
        with pytest.raises(StreamFinalized):
            one.append("s", [sample(0, 11)], offset=11)

"""Two servers on one PostgreSQL: streams are what they would be on one, whoever is killed."""

import random
import signal
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from rankspace.client import Client
from rankspace.errors import StreamFinalized
from tests.e2e.fronts import Front, sample, write
from tests.postgres import Postgres

STREAMS = ("a", "b")


@pytest.fixture
def fronts(tmp_path: Path, postgres: Postgres) -> Iterator[list[Front]]:
    shared = {"STORE__URL": postgres.fresh(), "STORE__FOLDER": str(tmp_path / "data")}
    made = [Front(tmp_path / name, shared) for name in ("one", "two")]
    try:
        with ThreadPoolExecutor() as pool:  # both make the tables at the same moment
            list(pool.map(Front.start, made))
        yield made
    finally:
        for front in made:
            front.end(signal.SIGTERM)


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
                    assert all(found[offset] == sent for offset, sent in told[writer].items())


def test_what_one_server_acknowledged_the_other_reads(fronts: list[Front]) -> None:
    with Client(fronts[0].address) as one, Client(fronts[1].address) as other:
        one.create_stream("s")
        assert one.append("s", [sample(0, number) for number in range(10)]).next_offset == 10
        assert dict(other.read("s")) == {number: sample(0, number) for number in range(10)}
        assert other.append("s", [sample(0, 10)], offset=10).next_offset == 11
        other.finalize_stream("s")
        with pytest.raises(StreamFinalized):
            one.append("s", [sample(0, 11)], offset=11)

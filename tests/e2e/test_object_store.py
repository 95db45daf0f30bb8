"""Servers whose media lie in a bucket: they share no disk, and the bucket has its bad days."""

import random
import signal
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from rankspace.client import Client
from rankspace.media.sample import Part, Sample
from tests.e2e.fronts import BATCH, Front, sample, write
from tests.postgres import Postgres
from tests.s3 import ENVIRONMENT, S3

PROMPT = {"STORE__S3__CONNECT_S": "1", "STORE__S3__ANSWER_S": "1", "STORE__S3__TRIES": "2"}
BOUND_S = 2 * (1 + 1) + 1.0
"""What that bounds a request to: two tries, and at most a second between them."""


Made = Callable[..., Front]


@pytest.fixture
def front(tmp_path: Path, s3: S3) -> Iterator[Made]:
    """Makes servers, not yet started, whose media go into one bucket."""
    made: list[Front] = []
    room = s3.fresh()
    reach = {"STORE__BLOBS": f"s3://{room}/media", "STORE__S3__ENDPOINT": s3.endpoint}

    def make(name: str, **more: str) -> Front:
        made.append(Front(tmp_path / name, reach | more, ENVIRONMENT))
        return made[-1]

    yield make
    s3.heal()
    for each in made:
        each.end(signal.SIGTERM)


def test_servers_that_share_no_disk_keep_every_promise(
    front: Made, s3: S3, postgres: Postgres
) -> None:
    url = postgres.fresh()
    fronts = [front(name, STORE__URL=url) for name in ("one", "two")]
    with ThreadPoolExecutor() as pool:  # both make the tables, and claim the bucket, at once
        list(pool.map(Front.start, fronts))
    with Client(fronts[0].address) as client:
        for stream in ("a", "b"):
            client.create_stream(stream)
    chance = random.Random(0)
    with ThreadPoolExecutor(8) as pool:
        jobs = [
            pool.submit(write, fronts[writer % 2], writer, "ab"[writer // 2], 30)
            for writer in range(4)
        ]
        time.sleep(chance.uniform(0.3, 0.6))
        fronts[0].end(signal.SIGKILL)
        s3.end(signal.SIGKILL)
        s3.start()
        fronts[0].start()
        told = [job.result(timeout=90) for job in jobs]
    assert not (fronts[0].folder / "data" / "blobs").exists()
    with Client(fronts[0].address) as one, Client(fronts[1].address) as other:
        for at, stream in enumerate("ab"):
            found = dict(one.read(stream))
            assert found == dict(other.read(stream))
            assert list(found) == list(range(one.get_stream(stream).next_offset))
            assert len({entry.sample_id for entry in found.values()}) == len(found) == 60
            for writer in (2 * at, 2 * at + 1):
                assert told[writer].items() <= found.items()
    for each in fronts:
        assert ENVIRONMENT["AWS_SECRET_ACCESS_KEY"] not in each.log()


def test_a_bucket_that_dies_midway_loses_nothing_and_the_client_goes_on(
    front: Made, s3: S3
) -> None:
    server = front("one")
    server.start()
    sent = [sample(0, number) for number in range(60)]
    away = threading.Event()

    def slowly() -> Iterator[Sample]:
        for number, each in enumerate(sent):
            if number == 20:
                s3.end(signal.SIGKILL)
                threading.Timer(2.5, s3.start).start()
                away.set()
            time.sleep(0.01)
            yield each

    with Client(server.address) as client:
        client.create_stream("s")
        summary = client.append("s", slowly(), offset=0)
        assert away.is_set()
        assert summary.next_offset == len(sent)
        assert [entry for _, entry in client.read("s")] == sent


def test_a_bucket_that_is_slow_or_hangs_holds_up_no_other_stream(front: Made, s3: S3) -> None:
    server = front("one", **PROMPT)
    server.start()
    with Client(server.address) as client:
        for stream in ("words", *(f"media-{number}" for number in range(12))):
            client.create_stream(stream)
    s3.behave(delay_s=0.5)
    with ThreadPoolExecutor(12) as pool:
        jobs = [
            pool.submit(write, server, writer, f"media-{writer}", 2 * BATCH) for writer in range(12)
        ]
        time.sleep(0.2)
        slow = say(server, range(12))
        s3.send(signal.SIGSTOP)
        hanging = say(server, range(12, 24))
        s3.send(signal.SIGCONT)
        s3.behave()
        told = [job.result(timeout=60) for job in jobs]
    for waits in (slow, hanging):
        assert max(waits) < BOUND_S + 1.0, waits
        assert sorted(waits)[6] < 0.4, waits
    assert all(len(each) == 2 * BATCH for each in told)


def say(server: Front, numbers: range) -> list[float]:
    """Append words one by one; the seconds that each took."""
    waits = []
    with Client(server.address) as client:
        for number in numbers:
            began = time.monotonic()
            client.append("words", [Sample(f"t{number}", (Part("text", b"a"),))], offset=number)
            waits.append(time.monotonic() - began)
    return waits


def test_a_server_without_its_bucket_does_not_start_and_says_why(front: Made) -> None:
    lost = front("one", STORE__BLOBS="s3://nowhere-to-be-found")
    done = lost.run("serve", "--address", "127.0.0.1:0")
    assert done.returncode != 0
    assert "there is no bucket nowhere-to-be-found" in done.stderr
    assert "Traceback" not in done.stderr


def test_servers_that_share_neither_disk_nor_bucket_are_told_at_the_start(
    front: Made, postgres: Postgres
) -> None:
    url = postgres.fresh()
    first = front("one", STORE__URL=url, STORE__BLOBS="")
    first.start()
    second = front("two", STORE__URL=url, STORE__BLOBS="")
    done = second.run("serve", "--address", "127.0.0.1:0")
    assert done.returncode != 0
    assert "let all servers share one folder" in done.stderr


def test_what_lies_in_a_bucket_is_checked_set_aside_and_told_without_secrets(
    front: Made, s3: S3
) -> None:
    server = front("one")
    server.start()
    with Client(server.address) as client:
        client.create_stream("s")
        client.append("s", [sample(0, number) for number in range(3)], offset=0)
    room = server.environment["RANKSPACE_STORE__BLOBS"].split("/")[2]
    for key in s3.keys(room):
        if not key.endswith("/store"):
            s3.client().put_object(Bucket=room, Key=key, Body=b"other bytes")
    checked = server.run("store", "check", "--json")
    assert checked.returncode == 1
    assert server.run("store", "quarantine", "s", "0", "1", "2").returncode == 0
    with Client(server.address) as client:
        assert list(client.read("s")) == []
    shown = server.run("config", "--show")
    assert "s3://" in shown.stdout
    assert f'endpoint = "{s3.endpoint}"' in shown.stdout
    for said in (checked, shown):
        assert ENVIRONMENT["AWS_SECRET_ACCESS_KEY"] not in said.stdout + said.stderr
        assert ENVIRONMENT["AWS_ACCESS_KEY_ID"] not in said.stdout.split()

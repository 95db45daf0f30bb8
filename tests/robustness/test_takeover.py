"""A server stands still while a writer takes its stream over at another: what it has is late."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from rankspace.v1 import ingestion_pb2 as pb
from tests.postgres import Postgres
from tests.robustness.appending import Appending
from tests.robustness.calls import Caller
from tests.robustness.checker import violations
from tests.robustness.faults import Front
from tests.robustness.history import Operation, Recorder
from tests.robustness.server import Server

STREAM = "s"


@pytest.fixture
async def fronts(tmp_path: Path, postgres: Postgres) -> AsyncIterator[list[Front]]:
    url = {"RANKSPACE_STORE__URL": postgres.fresh()}
    made = [Front(Server(tmp_path / f"server{at}", tmp_path / "data", environment=url))
            for at in range(2)]  # fmt: skip
    try:
        for front in made:
            await front.aside.start()
            await front.start()
        yield made
    finally:
        for front in made:
            await front.aside.close()
            front.server.kill()


async def appended(writer: Appending, at: int, name: str) -> int:
    await writer.send(at, [name])
    return await writer.hear()


async def test_a_server_that_stood_still_writes_nothing_for_a_writer_that_was_replaced(
    tmp_path: Path, fronts: list[Front]
) -> None:
    recorder = Recorder(tmp_path / "history.jsonl")
    old, new = (Caller(f"writer{at}", front.aside.port, recorder)
                for at, front in enumerate(fronts))  # fmt: skip
    await old.stub.CreateStream(pb.CreateStreamRequest(stream_id=STREAM))
    first, second = Appending(old, STREAM), Appending(new, STREAM)
    at, _ = await first.open(take_over=True)
    at = await appended(first, at, "old.0.t")
    fronts[0].server.pause()
    await first.send(at, ["old.1.a"])  # on its way, and nobody takes it
    await first.send(at + 1, ["old.2.t"])
    at, epoch = await second.open(take_over=True)
    assert (at, epoch) == (1, 2)
    at = await appended(second, at, "new.0.a")
    fronts[0].server.resume()
    await first.hear()
    await first.hear()
    await appended(second, at, "new.1.t")
    await first.close()
    await second.close()
    await old.read(STREAM, 0)
    late: list[Operation] = [one for one in recorder.operations if one.client == "writer0"][-3:-1]
    assert [one.reason for one in late] == ["FENCED", "FENCED"]
    assert violations(recorder.operations) == []
    assert len(recorder.operations[-1].keys) == 3
    recorder.close()
    for caller in (old, new):
        await caller.close()

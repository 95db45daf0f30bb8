"""The demo's server is a real one: it serves, and however its block ends, it is gone then."""

import os
from pathlib import Path

import pytest

from rankspace.client import AsyncClient
from rankspace.errors import Unreachable
from services.demo import server
from services.demo.main import ingest
from services.demo.memory import PROC, tree
from services.demo.phases import Phases
from services.demo.sample import samples
from services.demo.server import running


def alive(process: int) -> bool:
    return PROC.joinpath(str(process)).is_dir()


async def test_it_takes_a_stream_of_the_sample_and_is_gone_when_the_block_ends(
    tmp_path: Path,
) -> None:
    ones = tuple(samples("spoken"))
    with Phases() as phases:
        async with running(tmp_path) as started, AsyncClient(started.address) as client:
            with phases.phase("ingest") as bar:
                await ingest(client, {"spoken": ones}, bar)
            stream = await client.get_stream("spoken")
            family = tree(started.process_id)
    assert (stream.next_offset, stream.finalized, stream.rejected) == (len(ones), True, 0)
    assert phases.seconds["ingest"] > 0
    assert not any(map(alive, family))
    assert b'"closed"' in (tmp_path / "server.log").read_bytes()


async def test_an_error_inside_the_block_stops_the_server_too(tmp_path: Path) -> None:
    seen: list[int] = []

    async def work() -> None:
        async with running(tmp_path) as started:
            seen.extend(tree(started.process_id))
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await work()
    assert seen
    assert not any(map(alive, seen))


async def test_a_server_that_cannot_start_is_an_error_that_says_where_to_look(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server, "COMMAND", (*server.COMMAND, "--no-such-option"))
    with pytest.raises(Unreachable, match=r"status 2; server\.log"):
        async with running(tmp_path):
            pass
    assert b"no-such-option" in (tmp_path / "server.log").read_bytes()
    assert os.listdir(tmp_path) == ["server.log"]  # noqa: PTH208  # names are all that is asked

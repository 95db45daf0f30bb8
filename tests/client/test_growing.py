"""Parts that grow while they are sent: any source, any server that comes and goes, one sample."""

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rankspace.client import AsyncClient, Client, Growing
from rankspace.client.growing import CHUNK_BYTES, GROWS_FROM, awaited, pieces
from rankspace.errors import InvalidInput
from rankspace.media.sample import Part, Sample
from rankspace.v1 import media_pb2
from tests.client.conftest import Site

PCM = bytes(range(256)) * 4000


def cut(data: bytes, size: int) -> Iterator[bytes]:
    return (data[at : at + size] for at in range(0, len(data), size))


def speech(source: object) -> Growing:
    kind = {"encoding": "pcm_s16le", "role": "speech", "rate_hz": 48_000, "channels": 1}
    return Growing("audio", source=source, **kind)  # type: ignore[arg-type]


def until(site: Site, position: int) -> None:
    """Wait until so much of the only medium is stored."""
    while not (there := site.store.pieces.open("s")) or there[0].position < position:
        time.sleep(0.02)


WHOLE = Part("audio", PCM, "pcm_s16le", "speech", 48_000, 1)


@given(
    contents=st.lists(st.lists(st.binary(max_size=9), max_size=5), min_size=1, max_size=3),
)
def test_pieces_are_the_same_whether_they_are_awaited_or_not(contents: list[list[bytes]]) -> None:
    async def slow(data: list[bytes]) -> AsyncIterator[bytes]:
        for one in data:
            await asyncio.sleep(0)
            yield one

    async def drawn() -> list[media_pb2.MediaPiece]:
        sample = Sample("s", tuple(speech(slow(data)) for data in contents))
        return [piece async for piece in awaited(sample, "m")]

    def of_each(found: list[media_pb2.MediaPiece]) -> list[list[media_pb2.MediaPiece]]:
        names = [f"m-{at}" for at in range(len(contents))]
        return [[piece for piece in found if piece.media_id == name] for name in names]

    plain = list(pieces(Sample("s", tuple(map(speech, contents))), "m"))
    assert of_each(asyncio.run(drawn())) == of_each(plain)
    for data, found in zip(contents, of_each(plain), strict=True):
        assert b"".join(piece.chunk for piece in found) == b"".join(data)
        assert found[0].HasField("begin")
        assert found[-1].end.bytes == sum(map(len, data))


def test_files_iterables_and_large_parts_become_parts_like_any_other(
    client: Client, tmp_path: Path
) -> None:
    (tmp_path / "speech.pcm").write_bytes(PCM)
    large = Part("audio", bytes(GROWS_FROM + 4), "pcm_s16le", rate_hz=48_000, channels=2)
    text = Part("text", b"said")
    client.create_stream("s")
    summary = client.append(
        "s",
        [
            Sample("file", (speech(tmp_path / "speech.pcm"), text)),
            Sample("plain", (text,)),
            Sample("cut", (text, speech(cut(PCM, 70_001)), speech(cut(PCM, CHUNK_BYTES + 1)))),
            Sample("large", (large,)),
        ],
    )
    assert (summary.samples, summary.rejected) == (4, 0)
    assert [sample.parts for _, sample in client.read("s")] == [
        (WHOLE, text), (text,), (text, WHOLE, WHOLE), (large,),
    ]  # fmt: skip


def test_a_recording_goes_on_while_the_server_comes_and_goes(site: Site) -> None:
    def recording() -> Iterator[bytes]:
        for at, piece in enumerate(cut(PCM, 40_000)):
            if at in (5, 15):
                until(site, at * 40_000)
                site.stop()
                site.start()
            yield piece

    with Client(site.address, patience_s=20.0) as client:
        client.create_stream("s")
        client.create_stream("whole")
        summary = client.append("s", [Sample("a", (speech(recording()),))])
        assert summary.reconnects >= 2
        client.append("whole", [Sample("a", (WHOLE,))])
        assert client.get_stream("s").digest == client.get_stream("whole").digest


def test_an_input_that_is_given_again_goes_on_where_it_was(client: Client, site: Site) -> None:
    def breaks() -> Iterator[bytes]:
        yield from cut(PCM[:600_000], 100_000)
        until(site, 600_000)
        raise ZeroDivisionError

    client.create_stream("s")
    with pytest.raises(ZeroDivisionError):
        client.append("s", [Sample("a", (speech(breaks()),))], offset=0)
    summary = client.append("s", [Sample("a", (speech(cut(PCM, 100_000)),))], offset=0)
    assert summary.bytes < len(PCM) - 500_000
    again = client.append("s", [Sample("a", (speech(cut(PCM, 100_000)),))], offset=0)
    assert again.duplicates == 1
    assert dict(client.read("s")) == {0: Sample("a", (WHOLE,))}


async def test_asynchronous_sources_grow_at_the_same_time(site: Site) -> None:
    """Neither can end before the other has begun."""
    begun = [asyncio.Event(), asyncio.Event()]

    async def source(which: int) -> AsyncIterator[bytes]:
        yield PCM[:1000]
        begun[which].set()
        await begun[1 - which].wait()
        yield PCM[1000:]

    async with AsyncClient(site.address) as client:
        await client.create_stream("s")
        both = Sample("a", (speech(source(0)), speech(source(1))))
        await asyncio.wait_for(client.append("s", [both]), 20)
        assert [sample.parts async for _, sample in client.read("s")] == [(WHOLE, WHOLE)]


def test_a_growing_part_holds_no_bytes_of_its_own() -> None:
    with pytest.raises(InvalidInput, match="from `source` only"):
        Growing("audio", b"bytes", source=[])


def test_a_source_that_is_silent_for_long_outlives_the_calls_that_wait_for_it(
    tmp_path: Path,
) -> None:
    """The server ends calls in which nothing happens, more often than patience lasts."""
    site = Site(tmp_path / "store", gateway={"idle_s_max": 0.6})

    def hesitant() -> Iterator[bytes]:
        yield PCM[:1000]
        time.sleep(5.5)
        yield PCM[1000:2000]

    try:
        with Client(site.address, patience_s=4.0) as client:
            client.create_stream("s")
            summary = client.append("s", [Sample("a", (speech(hesitant()),))])
            assert summary.reconnects >= 3
            assert [sample.parts[0].data for _, sample in client.read("s")] == [PCM[:2000]]
    finally:
        site.stop()
        site.store.close()

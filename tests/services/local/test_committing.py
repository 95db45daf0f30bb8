"""Group commit: whatever comes at the same time, each stream is what a list would be."""

import asyncio
import errno
import os
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rankspace.errors import ContentConflict, InvalidInput, NotFound, OffsetGap, Overloaded
from rankspace.media.sample import Part, Sample
from rankspace.store import checkpoints
from rankspace.store.config import StoreConfig
from rankspace.store.drafts import Batch, Draft
from rankspace.store.entries import Appended, Durability, Outcome, Rejected
from rankspace.store.store import Store
from services.local.committing import Committer
from services.local.config import EngineConfig
from tests.store.kept import blocks

Call = tuple[int, int | None, list[int]]
"""Which stream, at which offset, which samples."""

calls = st.lists(
    st.tuples(
        st.integers(0, 2),
        st.one_of(st.none(), st.integers(0, 8)),
        st.lists(st.integers(0, 2), min_size=1, max_size=3),
    ),
    max_size=16,
)
_numbers = count()


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    config = StoreConfig(folder=tmp_path_factory.mktemp("store"), inline_bytes_max=4)
    with Store.open(config) as opened:
        yield opened


def sample(number: int) -> Sample:
    """One of a few samples, whose media do not fit beside their row; negative: without media."""
    if number < 0:
        return Sample(f"id{number}", ())
    return Sample(f"id-{number}", (Part("text", b"%d" % number * 8),))


class Watched:
    """The log of a store, which tells how large its groups are and can be held up."""

    def __init__(self, store: Store) -> None:
        self._log = store.log
        self.writes_ahead = False
        self.checkpoints = store.log.checkpoints
        self.groups: list[list[Batch]] = []
        self.gate, self.slow = threading.Event(), threading.Event()
        self.gate.set()
        self.slow.set()

    def draft(
        self,
        stream: str,
        offset: int | None,
        samples: Sequence[Sample | Rejected],
        epoch: int = 0,
        durability: Durability = "synced",
    ) -> Draft:
        return self._log.draft(stream, offset, samples, epoch, durability)

    def write(self, batches: Sequence[Batch]) -> Sequence[Batch]:
        written = self._log.write(batches)
        self.slow.wait(20)
        return written

    def settle(self, batches: Sequence[Batch]) -> None:
        self._log.settle(batches)

    def discard(self, batches: Sequence[Batch]) -> None:
        self._log.discard(batches)

    def commit(self, batches: Sequence[Batch]) -> Sequence[Outcome]:
        self.gate.wait(20)
        self.groups.append(list(batches))
        return self._log.commit(batches)


class Room:
    """A committer at work on a store."""

    def __init__(self, store: Store, **limits: Any) -> None:
        self.log = Watched(store)
        self._pool = ThreadPoolExecutor(8)
        self.committer = Committer(self.log, self._run, EngineConfig(**limits))

    async def _run(self, task: Callable[[], Any]) -> Any:
        return await asyncio.get_running_loop().run_in_executor(self._pool, task)

    async def __aenter__(self) -> "Room":
        self.committer.begin()
        return self

    async def __aexit__(self, *_: object) -> None:
        self.log.gate.set()
        await self.committer.close()
        self._pool.shutdown()

    def append(
        self, stream: str, offset: int | None, numbers: Sequence[int], how: Durability = "synced"
    ) -> "asyncio.Task[Appended]":
        samples = [sample(number) for number in numbers]
        return asyncio.create_task(self.committer.append(stream, offset, samples, 0, how))


def as_a_list_would(stream: list[int], offset: int | None, numbers: list[int]) -> object:
    """What an append does to a list: where it went, or the class of its refusal."""
    first = len(stream) if offset is None else offset
    if first > len(stream):
        return OffsetGap
    there = stream[first : first + len(numbers)]
    if there != numbers[: len(there)]:
        return ContentConflict
    stream.extend(numbers[len(there) :])
    return (first, first + len(numbers), len(there) == len(numbers))


@given(calls)
@settings(max_examples=25)
def test_any_history_through_the_committer_is_what_lists_would_be(
    store: Store, history: list[Call]
) -> None:
    names = [f"s{next(_numbers)}" for _ in range(3)]
    before = blocks(store.config.folder / "blobs")
    for name in names[:2]:
        store.log.create(name)

    async def play() -> list[object]:
        async with Room(store) as room:
            tasks = [room.append(names[which], at, what) for which, at, what in history]
            return list(await asyncio.gather(*tasks, return_exceptions=True))

    model: list[list[int]] = [[], []]
    outcomes = asyncio.run(play())
    for (which, offset, numbers), found in zip(history, outcomes, strict=True):
        expected = as_a_list_would(model[which], offset, numbers) if which < 2 else NotFound
        if isinstance(found, Appended):
            assert (found.first, found.next, found.duplicate) == expected
        else:
            assert type(found) is expected
    for name, numbers in zip(names, model, strict=False):
        assert [entry for _, entry in store.log.read(name)] == [sample(one) for one in numbers]
    assert blocks(store.config.folder / "blobs") == before + _kept(outcomes)


def _kept(outcomes: list[object]) -> int:
    """Appends that left a blob: those that were refused or were there already leave none."""
    return sum(isinstance(found, Appended) and not found.duplicate for found in outcomes)


async def test_what_waits_shares_a_commit_and_one_that_is_refused_harms_no_other(
    store: Store,
) -> None:
    name = store.log.create(f"s{next(_numbers)}").name
    async with Room(store) as room:
        room.log.gate.clear()
        tasks = [room.append(name, 0, [0])]
        await asyncio.sleep(0.2)
        tasks += [room.append(name, at, [at % 3]) for at in range(1, 6)]
        tasks += [room.append(name, 99, [0]), room.append("none", 0, [0])]
        await asyncio.sleep(0.2)
        room.log.gate.set()
        found = await asyncio.gather(*tasks, return_exceptions=True)
    assert [type(one) for one in found] == [Appended] * 6 + [OffsetGap, NotFound]
    assert len(room.log.groups) <= 3
    assert store.log.next_offset(name) == 6


async def test_an_append_that_cannot_be_prepared_or_is_given_up_holds_nobody_up(
    store: Store,
) -> None:
    name = store.log.create(f"s{next(_numbers)}").name
    async with Room(store) as room:
        with pytest.raises(InvalidInput):
            await room.append(name, 0, [])
        given_up = room.append(name, None, [0])
        await asyncio.sleep(0)
        given_up.cancel()
        await asyncio.wait((given_up,))
        assert (await room.append(name, None, [1])).next >= 1
    with pytest.raises(Overloaded):
        await room.append(name, None, [1])


async def test_less_than_synced_is_what_was_asked_for_or_better(store: Store) -> None:
    name = store.log.create(f"s{next(_numbers)}").name
    async with Room(store) as room:
        assert (await room.append(name, None, [0], "written")).durability == "written"
        assert (await room.append(name, None, [0])).durability == "synced"
        room.log.gate.clear()
        first = room.append(name, None, [0])
        await asyncio.sleep(0.1)
        together = [room.append(name, None, [-1], how) for how in ("written", "synced")]
        await asyncio.sleep(0.2)
        room.log.gate.set()
        await first
        assert {(await task).durability for task in together} == {"synced"}


async def test_media_that_were_written_ahead_for_nobody_go(store: Store) -> None:
    name = store.log.create(f"s{next(_numbers)}").name
    before = blocks(store.config.folder / "blobs")
    async with Room(store) as room:
        room.log.writes_ahead = True
        room.log.slow.clear()
        given_up = room.append(name, None, [0])
        await asyncio.sleep(0.1)
        given_up.cancel()
        await asyncio.wait((given_up,))
        room.log.slow.set()
        await room.append(name, None, [-1])
    assert [entry for _, entry in store.log.read(name)] == [sample(-1)]
    assert blocks(store.config.folder / "blobs") == before


async def test_a_fault_of_ours_in_one_append_harms_no_other(store: Store) -> None:
    name = store.log.create(f"s{next(_numbers)}").name
    async with Room(store) as room:
        room.log.gate.clear()
        first = room.append(name, None, [-1])
        await asyncio.sleep(0.1)
        broken = Sample("\ud800", ())  # no text, and nobody has refused it before
        tasks = [
            room.append(name, None, [-1]),
            asyncio.create_task(room.committer.append(name, None, [broken], 0, "synced")),
            room.append(name, None, [-2]),
        ]
        await asyncio.sleep(0.1)
        room.log.gate.set()
        found = await asyncio.gather(first, *tasks, return_exceptions=True)
    assert [type(one) for one in found] == [Appended, Appended, UnicodeEncodeError, Appended]
    assert store.log.next_offset(name) == 3


async def test_the_log_of_the_database_is_looked_after(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(checkpoints, "DUE_PAGES", 4)
    monkeypatch.setattr(checkpoints, "OVERDUE_PAGES", 32)
    name = store.log.create(f"s{next(_numbers)}").name
    async with Room(store) as room:
        for _ in range(40):
            await room.append(name, None, [-1])
    log, done = checkpoints.pages(store.config.folder / "store.db")
    assert log - done < 4 + 32
    assert log < 64


async def test_a_disk_that_fails_is_said_to_everybody_who_appends(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_handle: int) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    with Store.open(StoreConfig(folder=tmp_path, inline_bytes_max=4)) as failing:
        failing.log.create("s")
        pool = ThreadPoolExecutor(2)

        async def run(task: Callable[[], Any]) -> Any:
            return await asyncio.get_running_loop().run_in_executor(pool, task)

        committer = Committer(failing.log, run, EngineConfig())
        committer.begin()
        monkeypatch.setattr(os, "fdatasync", fail)
        for number in (0, -1, 0):
            with pytest.raises(Overloaded, match="started again"):
                await committer.append("s", None, [sample(number)], 0, "synced")
        await committer.close()
        pool.shutdown()
        assert failing.log.next_offset("s") == 0

"""Media in a region: read together, told one by one, and nothing before damage is held back."""

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import select

from rankspace.errors import Corrupt
from rankspace.media.sample import Part, Sample
from rankspace.store.blobs import Blobs
from rankspace.store.config import StoreConfig
from rankspace.store.reading import Reading
from rankspace.store.schema import runs
from rankspace.store.store import Store
from tests.store.kept import segments
from tests.strategies import samples

_names = map(str, range(10**6))


def text(number: int, size: int = 100) -> Sample:
    return Sample(f"id-{number}", (Part("text", b"%d" % (number % 10) * size),))


class Counting:
    """Blobs that say how often they were read."""

    def __init__(self, blobs: Blobs) -> None:
        self._blobs = blobs
        self.reads = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._blobs, name)

    def get(self, place: str) -> bytes:
        self.reads += 1
        return self._blobs.get(place)


def until_damage(store: Store, stream: str) -> list[int]:
    """The offsets that are read before one that is damaged."""
    found: list[int] = []
    with pytest.raises(Corrupt):
        found.extend(offset for offset, _ in store.log.read(stream))
    return found


@settings(max_examples=20, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.lists(samples(), min_size=1, max_size=7), min_size=1, max_size=4))
def test_what_is_read_from_anywhere_is_what_was_sent(
    store: Store, batches: list[list[Sample]]
) -> None:
    stream = f"s-{next(_names)}"
    store.log.create(stream)
    sent: list[Sample] = []
    for batch in batches:
        store.log.append(stream, len(sent), batch)
        sent += batch
    for start in range(len(sent)):
        assert [one for _, one in store.log.read(stream, start, start + 5)] == sent[start:][:5]


def test_neighbours_are_read_together_and_large_ones_by_themselves(sqlite: StoreConfig) -> None:
    with Store.open(sqlite) as store:
        store.log.create("s")
        small = [text(number, 5000) for number in range(40)]
        large = [text(number, 700_000) for number in range(40, 43)]
        for first in range(0, 40, 20):
            store.log.append("s", first, small[first : first + 20])
        store.log.append("s", 40, large)
        blobs = Counting(store.log._blobs)
        reading = Reading(store.log._database, blobs, page_rows=3)
        assert [one for _, one in reading.entries("s", 0, None)] == [*small, *large]
        assert blobs.reads == 2 + 3


def test_a_damaged_medium_harms_no_neighbour(sqlite: StoreConfig) -> None:
    with Store.open(sqlite) as store:
        store.log.create("s")
        store.log.append("s", 0, [text(number) for number in range(6)])
    (path,) = segments(sqlite.folder / "blobs")
    data = bytearray(path.read_bytes())
    data[350] ^= 1
    path.write_bytes(data)
    with Store.open(sqlite) as store:
        assert [damage.offset for damage in store.integrity.check()] == [3]
        assert until_damage(store, "s") == [0, 1, 2]
        assert [offset for offset, _ in store.log.read("s", 4)] == [4, 5]


def test_what_lies_before_a_damaged_run_is_read(sqlite: StoreConfig) -> None:
    with Store.open(sqlite.model_copy(update={"page_rows": 64})) as store:
        store.log.create("s")
        for first in range(0, 9, 3):
            store.log.append("s", first, [text(first + at) for at in range(3)])
        with store._database.write() as connection:
            connection.execute(runs.update().where(runs.c.first == 6).values(told="[]"))
        assert until_damage(store, "s") == [0, 1, 2, 3, 4, 5]


@pytest.mark.parametrize("length", [-1, 10**9, 99])
def test_a_length_that_is_wrong_leads_to_nothing_else(store: Store, length: int) -> None:
    store.log.create("s")
    store.log.append("s", 0, [text(0)])
    store.log.append("s", 1, [text(number) for number in range(1, 4)])
    with store._database.write() as connection:
        told = connection.scalar(select(runs.c.told).where(runs.c.first == 1))
        assert told is not None
        changed = told.replace('"data":100', f'"data":{length}', 1)
        connection.execute(runs.update().where(runs.c.first == 1).values(told=changed))
    assert until_damage(store, "s") == [0]
    assert {damage.offset for damage in store.integrity.check()} >= {1}


def test_a_sample_without_media_needs_no_place(store: Store) -> None:
    store.log.create("s")
    empty = Sample("none", ())
    sent = [text(0), empty, replace(empty, sample_id="no part"), text(1)]
    store.log.append("s", 0, sent)
    assert [one for _, one in store.log.read("s")] == sent

"""A snapshot is the same samples for ever, on any machine, or it says that it is not."""

from pathlib import Path

import pytest

from rankspace.config import parse
from rankspace.errors import Corrupt, InvalidInput, NotFound
from rankspace.media.sample import Part, Sample
from rankspace.store import snapshots
from rankspace.store.config import StoreConfig
from rankspace.store.entries import Rejected
from rankspace.store.store import Store


def fill(store: Store, name: str, count: int) -> None:
    store.log.create(name)
    rows: list[Sample | Rejected] = [
        Sample(f"{name}-{n}", (Part("text", b"%d" % n),)) for n in range(count)
    ]
    store.log.append(name, 0, [*rows, Rejected("bad", "MALFORMED_MEDIA", "no")])


def test_a_snapshot_stays_while_its_streams_grow(store: Store) -> None:
    fill(store, "a", 5)
    fill(store, "b", 2)
    snapshot = snapshots.take(store.log, ["b", "a"])
    before = list(snapshots.read(store.log, snapshot))
    store.log.append("a", None, [Sample("later", ())])
    assert list(snapshots.read(store.log, snapshot)) == before
    assert [(stream, offset) for stream, offset, _ in before] == [
        *(("b", offset) for offset in range(2)),
        *(("a", offset) for offset in range(5)),
    ]
    assert snapshot.size == 9
    assert snapshots.take(store.log, ["b", "a"]).hash != snapshot.hash


def test_the_same_samples_in_another_store_are_the_same_snapshot(
    store: Store, tmp_path: Path
) -> None:
    with Store.open(StoreConfig(folder=tmp_path / "other")) as other:
        fill(store, "a", 5)
        fill(other, "a", 5)
        taken = snapshots.take(store.log, ["a"])
        assert taken == snapshots.take(other.log, ["a"])
        assert list(snapshots.read(other.log, taken)) == list(snapshots.read(store.log, taken))


def test_a_snapshot_can_be_written_down(store: Store) -> None:
    fill(store, "a", 2)
    snapshot = snapshots.take(store.log, ["a"])
    again = parse(snapshots.Snapshot, snapshot.model_dump())
    assert again == snapshot
    assert again.hash == snapshot.hash


def test_a_stream_made_anew_is_not_the_one_of_the_snapshot(store: Store) -> None:
    fill(store, "a", 5)
    snapshot = snapshots.take(store.log, ["a"])
    store.log.delete("a")
    with pytest.raises(Corrupt):
        list(snapshots.read(store.log, snapshot))
    fill(store, "a", 6)
    with pytest.raises(Corrupt):
        list(snapshots.read(store.log, snapshot))


def test_a_snapshot_names_streams_that_exist_and_each_once(store: Store) -> None:
    fill(store, "a", 1)
    with pytest.raises(NotFound):
        snapshots.take(store.log, ["a", "none"])
    for streams in ([], ["a", "a"]):
        with pytest.raises(InvalidInput):
            snapshots.take(store.log, streams)

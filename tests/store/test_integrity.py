"""What is damaged is named, set aside by hand, and never passed over."""

import sqlite3
from contextlib import closing

import pytest
from sqlalchemy import text

from rankspace.errors import Corrupt, InvalidInput, Refused
from rankspace.media.sample import Part, Sample
from rankspace.store.config import StoreConfig
from rankspace.store.entries import Rejected
from rankspace.store.integrity import Damage
from rankspace.store.store import Store
from tests.store.kept import segments


def fill(store: Store) -> None:
    store.log.create("s")
    small = [Sample(f"id-{number}", (Part("text", b"%d" % number),)) for number in range(5)]
    store.log.append("s", 0, [*small, Rejected("bad", "MALFORMED_MEDIA", "no")])
    store.log.append("s", None, [Sample("large", (Part("audio", b"sound" * 20, "wav"),))])


def test_what_was_written_is_sound(store: Store) -> None:
    fill(store)
    assert list(store.integrity.check()) == []
    with pytest.raises(Refused):
        store.integrity.set_aside("s", [1])
    with pytest.raises(InvalidInput):
        store.integrity.set_aside("s", [7])


def test_damage_is_named_set_aside_and_leaves_a_tombstone(store: Store) -> None:
    fill(store)
    before = store.log.get("s")
    with store._database.write() as connection:
        connection.execute(text("UPDATE runs SET told = replace(told, 'id-2', 'id-9')"))
    (path,) = segments(store.config.folder / "blobs")
    path.write_bytes(b"noise" * 20)
    found = list(store.integrity.check())
    assert [(damage.stream, damage.offset) for damage in found] == [("s", 2), ("s", 6)]
    assert store.integrity.set_aside("s", [2, 6]) == 2
    assert list(store.integrity.check()) == []
    entries = dict(store.log.records("s"))
    for damage in found:
        entry = entries[damage.offset]
        assert entry == Rejected("", "QUARANTINED", damage.what)
    assert [offset for offset, _ in store.log.read("s")] == [0, 1, 3, 4]
    after = store.log.get("s")
    assert after.digest == before.digest
    assert after.kept_bytes == before.kept_bytes - 101
    assert path.exists()  # what was damaged is kept for whoever looks into it
    with store._database.read() as connection:
        kept = connection.execute(text("SELECT told FROM quarantine ORDER BY 1")).scalars().all()
    assert ["id-9" in kept[0], "large" in kept[1]] == [True, True]


def test_a_missing_blob_is_corrupt_and_names_its_offset(store: Store) -> None:
    fill(store)
    (path,) = segments(store.config.folder / "blobs")
    path.unlink()
    with pytest.raises(Corrupt, match="offset 6"):
        list(store.log.records("s"))
    assert [damage.offset for damage in store.integrity.check()] == [6]


def test_a_lost_record_and_a_changed_hash_are_named(store: Store) -> None:
    fill(store)
    with store._database.write() as connection:
        connection.execute(text("DELETE FROM runs WHERE told LIKE '%large%'"))
    found = list(store.integrity.check())
    assert Damage("s", -1, "it has 6 records of 7") in found
    assert 6 in [damage.offset for damage in found]
    store.integrity.set_aside("s", [6])
    assert dict(store.log.records("s"))[6].sample_id == ""


def test_bytes_that_are_no_text_and_no_json_are_corrupt(sqlite: StoreConfig) -> None:
    with Store.open(sqlite) as store:
        fill(store)
    with closing(sqlite3.connect(sqlite.folder / "store.db")) as database, database:
        database.execute("UPDATE runs SET told = '[{' WHERE first = 0")
        database.execute("UPDATE runs SET told = CAST(x'ff' AS TEXT) WHERE first = 6")
    with Store.open(sqlite) as store:
        with pytest.raises(Corrupt, match="offset 0"):
            next(store.log.records("s"))
        damaged = [*range(5), 6]
        assert [damage.offset for damage in store.integrity.check()] == damaged
        store.integrity.set_aside("s", damaged)
        assert len(list(store.log.records("s"))) == 7
        assert list(store.integrity.check()) == []


def test_a_damaged_page_is_found_by_the_check(sqlite: StoreConfig) -> None:
    with Store.open(sqlite) as store:
        fill(store)
        store._database.forget()
    path = sqlite.folder / "store.db"
    data = bytearray(path.read_bytes())
    at = data.rindex(b"id-4")
    data[at : at + 4] = b"id-5"
    path.write_bytes(data)
    with Store.open(sqlite) as store:
        found = list(store.integrity.check())
        assert ("s", 4) in [(damage.stream, damage.offset) for damage in found]

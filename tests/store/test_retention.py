"""Samples that a stream keeps no longer become tombstones; what is deleted is gone."""

from pathlib import Path

import pytest

from rankspace.errors import InvalidInput
from rankspace.media.sample import Part, Sample
from rankspace.store import retention
from rankspace.store.config import StoreConfig
from rankspace.store.database import now_us
from rankspace.store.entries import Rejected, Retention, StreamChange
from rankspace.store.store import Store
from tests.store.kept import blocks

SECRET = b"a secret that nobody must find again"


def sample(number: int, data: bytes = b"x" * 40) -> Sample:
    return Sample(f"id-{number}", (Part("audio", data, "wav"),), labels={"n": str(number)})


def test_the_oldest_bytes_expire_and_offsets_and_digest_stay(store: Store) -> None:
    store.log.create("s", retention=Retention(bytes=100))
    for number in range(5):
        store.log.append("s", number, [sample(number)])
    before = store.log.get("s")
    assert (before.kept_bytes, before.first_kept) == (200, 0)
    assert store.log.expire() == 3
    assert store.log.expire() == 0
    after = store.log.get("s")
    assert (after.kept_bytes, after.first_kept, after.next_offset) == (80, 3, 5)
    assert (after.bytes, after.digest) == (before.bytes, before.digest)
    entries = dict(store.log.records("s"))
    assert entries[0] == Rejected("id-0", "EXPIRED", retention.MESSAGE)
    assert [offset for offset, _ in store.log.read("s")] == [3, 4]
    assert blocks(store.config.folder / "blobs") == 2
    assert store.log.append("s", 0, [sample(0)]).duplicate
    assert list(store.integrity.check()) == []


def test_a_blob_goes_with_the_last_sample_of_its_batch(store: Store) -> None:
    store.log.create("s", retention=Retention(bytes=40))
    store.log.append("s", 0, [sample(0), sample(1)])
    store.log.expire()
    assert [offset for offset, _ in store.log.read("s")] == [1]
    assert blocks(store.config.folder / "blobs") == 1
    store.log.append("s", 2, [sample(2)])
    store.log.expire()
    assert [offset for offset, _ in store.log.read("s")] == [2]
    assert blocks(store.config.folder / "blobs") == 1


def test_samples_expire_by_age_and_refusals_stay_what_they_are(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.log.create("s", retention=Retention(age_s=60))
    store.log.append("s", 0, [sample(0), Rejected("bad", "MALFORMED_MEDIA", "no")])
    assert store.log.expire() == 0
    later = now_us() + 61_000_000
    monkeypatch.setattr(retention, "now_us", lambda: later)
    assert store.log.expire() == 1
    reasons = [entry.reason for _, entry in store.log.records("s") if isinstance(entry, Rejected)]
    assert reasons == ["EXPIRED", "MALFORMED_MEDIA"]
    assert store.log.get("s").kept_bytes == 0


def test_many_samples_expire_in_steps(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retention, "_STEP", 3)
    store.log.create("s")
    store.log.append("s", 0, [sample(number) for number in range(10)])
    store.log.update("s", StreamChange(retention=Retention(bytes=1)))
    assert store.log.expire() == 10
    assert store.log.get("s").first_kept == 10
    store.log.delete("s")
    store.log.sweep()
    assert blocks(store.config.folder / "blobs") == 0


def test_a_change_leaves_what_it_does_not_name(store: Store) -> None:
    store.log.create("s", {"k": "v"}, "for people", Retention(age_s=5))
    changed = store.log.update("s", StreamChange(description="for all"))
    assert (changed.description, changed.labels) == ("for all", {"k": "v"})
    assert changed.retention == Retention(age_s=5)
    with pytest.raises(InvalidInput):
        store.log.update("s", StreamChange(retention=Retention(age_s=-1)))


def test_no_byte_of_a_deleted_stream_is_on_disk(sqlite: StoreConfig, tmp_path: Path) -> None:
    small = Sample("name-" + SECRET.decode(), (Part("text", SECRET[:12]),), labels={"l": "label!"})
    needles = (SECRET, SECRET[:12], b"label!", b"stream-to-go")
    with Store.open(sqlite.model_copy(update={"inline_bytes_max": 12})) as store:
        store.log.create("stream-to-go")
        store.log.create("stays")
        for _ in range(20):
            store.log.append("stream-to-go", None, [small, sample(1, SECRET * 30)] * 8)
            store.log.append("stays", None, [sample(2)])
        assert all(found(tmp_path, needle) for needle in needles)
        store.log.delete("stream-to-go")
        store.log.sweep()
        assert not [needle for needle in needles if found(tmp_path, needle)]
        assert len(list(store.log.read("stays"))) == 20


def found(folder: Path, needle: bytes) -> list[Path]:
    """The files that hold some bytes."""
    return [path for path in folder.rglob("*") if path.is_file() and needle in path.read_bytes()]

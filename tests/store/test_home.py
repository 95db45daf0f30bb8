"""A store and the place of its media: what is not its own is refused, and a bucket is as good."""

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rankspace.errors import InvalidConfig, Overloaded, Refused
from rankspace.media.sample import Part, Sample
from rankspace.store.config import StoreConfig
from rankspace.store.entries import Retention
from rankspace.store.home import MARK
from rankspace.store.store import Store
from tests.postgres import Postgres
from tests.s3 import S3
from tests.strategies import samples


@pytest.fixture
def on_s3(s3: S3, tmp_path: Path) -> Callable[..., StoreConfig]:
    """The config of a store whose media are in a bucket."""

    def config(folder: str = "one", room: str = "", **more: object) -> StoreConfig:
        reach = {"endpoint": s3.endpoint, "region": "us-east-1", "tries": 2, "inline_bytes_max": 16}
        plain = {"blobs": f"s3://{room or s3.fresh()}/media"} | more
        return StoreConfig.model_validate({"folder": tmp_path / folder, "s3": reach} | plain)

    return config


@pytest.fixture
def config(on_s3: Callable[..., StoreConfig]) -> StoreConfig:
    return on_s3()


@pytest.fixture
def store(config: StoreConfig) -> Iterator[Store]:
    with Store.open(config) as opened:
        yield opened


def bucket_of(config: StoreConfig) -> str:
    return config.blobs.removeprefix("s3://").partition("/")[0]


def objects(s3: S3, config: StoreConfig) -> list[str]:
    """The objects that hold media."""
    return [key for key in s3.keys(bucket_of(config)) if not key.endswith("/store")]


def sample(number: int) -> Sample:
    return Sample(f"id-{number}", (Part("audio", b"sound %d " % number * 20, "wav"),))


@given(st.lists(samples(), min_size=1, max_size=6))
@settings(max_examples=10, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_what_is_appended_is_read_back(store: Store, sent: list[Sample]) -> None:
    name = f"s{len(store.log.list().items)}"
    store.log.create(name)
    store.log.append(name, 0, sent)
    assert [entry for _, entry in store.log.read(name)] == sent
    assert store.log.append(name, 0, sent).duplicate


def test_media_go_when_they_expire_and_when_their_stream_is_deleted(
    config: StoreConfig, s3: S3
) -> None:
    with Store.open(config) as store:
        store.log.create("s", retention=Retention(bytes=len(sample(0).parts[0].data)))
        for number in range(3):
            store.log.append("s", number, [sample(number)])
        assert len(objects(s3, config)) == 3
        assert store.log.expire() == 2
        assert len(objects(s3, config)) == 1
        assert [entry for _, entry in store.log.read("s")] == [sample(2)]
        store.log.delete("s")
        store.log.sweep()
        assert objects(s3, config) == []


def test_a_batch_that_is_refused_leaves_nothing(config: StoreConfig, s3: S3) -> None:
    with Store.open(config) as store:
        store.log.create("s")
        with pytest.raises(Refused):
            store.log.append("s", 5, [sample(5)])
        assert objects(s3, config) == []


def test_while_s3_is_away_nothing_is_stored_and_then_all_goes_on(
    config: StoreConfig, s3: S3
) -> None:
    with Store.open(config) as store:
        store.log.create("s")
        store.log.append("s", 0, [sample(0)])
        s3.end()
        with pytest.raises(Overloaded) as caught:
            store.log.append("s", 1, [sample(1)])
        assert caught.value.retry_after_s > 0
        assert store.log.next_offset("s") == 1
        store.log.append("s", 1, [Sample("small", (Part("text", b"word"),))])
        with pytest.raises(Overloaded):
            list(store.integrity.check())
        s3.start()
        time.sleep(caught.value.retry_after_s)
        store.log.append("s", 2, [sample(2)])
        assert [entry.sample_id for _, entry in store.log.read("s")] == ["id-0", "small", "id-2"]


def test_an_object_that_is_lost_is_named_and_set_aside(config: StoreConfig, s3: S3) -> None:
    with Store.open(config) as store:
        store.log.create("s")
        store.log.append("s", 0, [sample(0)])
        store.log.append("s", 1, [sample(1)])
        assert list(store.integrity.check()) == []
        s3.client().delete_object(Bucket=bucket_of(config), Key=objects(s3, config)[0])
        time.sleep(1.0)  # what was read a moment ago is remembered
        found = list(store.integrity.check())
        assert [damage.stream for damage in found] == ["s"]
        store.integrity.set_aside("s", [found[0].offset])
        assert list(store.integrity.check()) == []
        assert len(list(store.log.read("s"))) == 1


def test_what_a_crash_left_is_swept_and_nothing_else(config: StoreConfig, s3: S3) -> None:
    swept = config.model_copy(update={"orphan_age_s": 0.0})
    with Store.open(swept) as store:
        store.log.create("s")
        store.log.append("s", 0, [sample(0)])
        store.blobs.write_all([[b"of an append that never committed"]])
        assert len(objects(s3, config)) == 2
        assert store.log.sweep() == 1
        assert [entry for _, entry in store.log.read("s")] == [sample(0)]


def test_two_stores_may_share_a_prefix(on_s3: Callable[..., StoreConfig], s3: S3) -> None:
    one = on_s3("one", orphan_age_s=0.0)
    two = on_s3("two", bucket_of(one), orphan_age_s=0.0)
    with Store.open(one) as first, Store.open(two) as second:
        for number, store in enumerate((first, second)):
            store.log.create("s")
            store.log.append("s", 0, [sample(number)])
        assert first.log.sweep() == second.log.sweep() == 0
        assert [entry for _, entry in first.log.read("s")] == [sample(0)]
        assert [entry for _, entry in second.log.read("s")] == [sample(1)]


def test_a_store_is_opened_with_the_media_it_was_made_with(
    config: StoreConfig, on_s3: Callable[..., StoreConfig], s3: S3
) -> None:
    Store.open(config).close()
    Store.open(config).close()
    with pytest.raises(InvalidConfig, match="in a bucket of S3, and"):
        Store.open(config.model_copy(update={"blobs": ""}))
    with pytest.raises(InvalidConfig, match="no media of this database") as caught:
        Store.open(config.model_copy(update={"blobs": f"s3://{s3.fresh()}"}))
    assert caught.value.field == "store.blobs"
    plain = on_s3("plain", blobs="")
    Store.open(plain).close()
    with pytest.raises(InvalidConfig, match="in a folder, and"):
        Store.open(plain.model_copy(update={"blobs": config.blobs}))


def test_a_moved_bucket_is_taken_with_all_that_is_in_it(config: StoreConfig, s3: S3) -> None:
    with Store.open(config) as store:
        store.log.create("s")
        store.log.append("s", 0, [sample(0)])
    other, client = s3.fresh(), s3.client()
    for key in s3.keys(bucket_of(config)):
        source = {"Bucket": bucket_of(config), "Key": key}
        client.copy_object(Bucket=other, Key=key.replace("media/", "elsewhere/"), CopySource=source)
    moved = config.model_copy(update={"blobs": f"s3://{other}/elsewhere"})
    with Store.open(moved) as store:
        assert [entry for _, entry in store.log.read("s")] == [sample(0)]


def test_a_server_with_another_folder_is_refused(postgres: Postgres, tmp_path: Path) -> None:
    url = postgres.fresh()
    shared = StoreConfig(folder=tmp_path / "shared", url=url)
    Store.open(shared).close()
    Store.open(shared).close()
    with pytest.raises(InvalidConfig, match="let all servers share one folder") as caught:
        Store.open(StoreConfig(folder=tmp_path / "other", url=url))
    assert caught.value.field == "store.folder"
    moved = tmp_path / "moved"
    (tmp_path / "shared").rename(moved)
    Store.open(StoreConfig(folder=moved, url=url)).close()
    (moved / MARK).unlink()
    with pytest.raises(InvalidConfig):
        Store.open(StoreConfig(folder=moved, url=url))


def test_a_crash_between_mark_and_commit_harms_nothing(postgres: Postgres, tmp_path: Path) -> None:
    folder = tmp_path / "shared"
    folder.mkdir()
    (folder / MARK).write_text("0123456789abcdef" * 2)
    config = StoreConfig(folder=folder, url=postgres.fresh())
    Store.open(config).close()
    Store.open(config).close()
    assert (folder / MARK).read_text() == "0123456789abcdef" * 2


def test_servers_with_folders_of_their_own_may_share_a_bucket(
    on_s3: Callable[..., StoreConfig], postgres: Postgres
) -> None:
    one = on_s3("one", url=postgres.fresh())
    two = on_s3("two", bucket_of(one), url=one.url)
    with Store.open(one) as first, Store.open(two) as second:
        first.log.create("s")
        first.log.append("s", 0, [sample(0)])
        second.log.append("s", 1, [sample(1)])
        assert [entry for _, entry in first.log.read("s")] == [sample(0), sample(1)]
        assert [entry for _, entry in second.log.read("s")] == [sample(0), sample(1)]

"""A bucket: what is put can be got, what goes wrong is told in words, and nobody waits for long."""

import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from tempfile import TemporaryDirectory

import pytest

from rankspace.config import parse
from rankspace.errors import Corrupt, InvalidConfig, NotFound, Overloaded, Unreachable
from rankspace.store.bucket import Bucket
from rankspace.store.config import S3Config, StoreConfig
from tests.s3 import PAGE, S3


def reached(s3: S3, **settings: object) -> S3Config:
    """How the server of the tests is reached."""
    return S3Config.model_validate({"endpoint": s3.endpoint, "region": "us-east-1"} | settings)


@pytest.fixture
def bucket(s3: S3) -> Iterator[Bucket]:
    opened = Bucket(f"s3://{s3.fresh()}/some/prefix", reached(s3, tries=2), 4)
    opened.check()
    yield opened
    opened.close()


def keys(bucket: Bucket, start: str = "") -> list[str]:
    return [key for page in bucket.list(start) for key, _ in page]


def test_what_is_put_is_got_listed_and_deleted(bucket: Bucket) -> None:
    bucket.put("a/one", b"sound")
    bucket.put("b/two", b"sight")
    assert bucket.get("a/one", 1, 3) == b"oun"
    assert bucket.get("a/one", 3, 100) == b"nd"
    assert keys(bucket) == ["a/one", "b/two"]
    assert keys(bucket, "b/") == ["b/two"]
    ((_, age),) = next(bucket.list("a/"))
    assert 0 <= age < 60
    bucket.delete(["a/one", "never/there"])
    assert keys(bucket) == ["b/two"]
    with pytest.raises(NotFound):
        bucket.get("a/one", 0, 1)
    with pytest.raises(Corrupt):
        bucket.get("b/two", 5, 1)


def test_more_than_one_page_is_listed_and_deleted(bucket: Bucket) -> None:
    names = [f"{number:04}" for number in range(PAGE + 3)]
    for name in names:
        bucket.put(name, b"")
    assert [len(page) for page in bucket.list("")] == [PAGE, 3]
    assert keys(bucket) == names
    bucket.delete(names[1:])
    assert keys(bucket) == names[:1]


def test_what_arrives_changed_is_refused_and_not_stored(bucket: Bucket, s3: S3) -> None:
    s3.behave(flip=True, only="PUT")
    with pytest.raises(Overloaded, match="otherwise than they were sent") as caught:
        bucket.put("one", b"sound")
    assert caught.value.retry_after_s > 0
    s3.behave()
    assert keys(bucket) == []


def test_a_busy_server_is_borne_with(s3: S3) -> None:
    bucket = Bucket(f"s3://{s3.fresh()}", reached(s3, tries=8), 4)
    s3.behave(status=503, share=0.3)
    for number in range(6):
        bucket.put(str(number), b"sound")
    assert len(keys(bucket)) == 6


def test_nobody_waits_for_a_server_that_hangs_beyond_the_bound(s3: S3) -> None:
    config = reached(s3, connect_s=1.0, answer_s=1.0, tries=2)
    bucket = Bucket(f"s3://{s3.fresh()}", config, 4)
    bucket.put("one", b"sound")
    s3.send(signal.SIGSTOP)
    began = time.monotonic()
    with pytest.raises(Overloaded):
        bucket.put("two", b"sound")
    first = time.monotonic() - began
    assert first < 2 * (1 + 1) + 1 + 2
    began = time.monotonic()
    for _ in range(50):
        with pytest.raises(Overloaded):
            bucket.get("one", 0, 5)
    assert time.monotonic() - began < 0.5, "who comes next is told at once"
    s3.send(signal.SIGCONT)
    until = time.monotonic() + 30
    while True:
        try:
            assert bucket.get("one", 0, 5) == b"sound"
        except Overloaded as error:
            assert time.monotonic() < until
            time.sleep(error.retry_after_s)
        else:
            break


@pytest.mark.parametrize(
    ("status", "words", "retry_s"),
    [(500, "cannot be reached", 1.0), (403, "let this server in", 10.0), (507, "full", 60.0)],
)
def test_what_will_pass_says_when_to_come_again(
    bucket: Bucket, s3: S3, status: int, words: str, retry_s: float
) -> None:
    s3.behave(status=status)
    with pytest.raises(Overloaded, match=words) as caught:
        bucket.put("one", b"sound")
    assert caught.value.retry_after_s == retry_s


def test_a_bucket_that_is_not_there_is_refused_by_name(s3: S3) -> None:
    with pytest.raises(InvalidConfig, match="no bucket nowhere-to-be-found") as caught:
        Bucket("s3://nowhere-to-be-found", reached(s3), 4).check()
    assert caught.value.field == "store.blobs"


def test_a_bucket_that_lets_nobody_in_is_refused(s3: S3) -> None:
    s3.behave(status=403)
    with pytest.raises(InvalidConfig, match="AWS_ACCESS_KEY_ID") as caught:
        Bucket("s3://room", reached(s3), 4).check()
    assert caught.value.field == "store.blobs"


def test_without_credentials_it_is_said_where_to_put_them(
    s3: S3, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    with pytest.raises(InvalidConfig, match="AWS_ACCESS_KEY_ID") as caught:
        Bucket("s3://room", reached(s3), 4).check()
    assert caught.value.field == "store.blobs"


def test_a_bucket_that_keeps_old_versions_is_refused(s3: S3) -> None:
    name = s3.fresh()
    versions = {"Status": "Enabled"}
    s3.client().put_bucket_versioning(Bucket=name, VersioningConfiguration=versions)
    with pytest.raises(InvalidConfig, match="old versions") as caught:
        Bucket(f"s3://{name}", reached(s3), 4).check()
    assert caught.value.field == "store.blobs"


def test_an_endpoint_that_does_not_answer_is_unreachable(s3: S3) -> None:
    nobody = reached(s3, endpoint="http://127.0.0.1:1", tries=1)
    with pytest.raises(Unreachable) as caught:
        Bucket("s3://room", nobody, 4).check()
    assert caught.value.field == "store.s3.endpoint"


def test_a_profile_that_is_not_there_is_refused(s3: S3) -> None:
    with pytest.raises(InvalidConfig, match="no AWS profile nobody") as caught:
        Bucket("s3://room", reached(s3, profile="nobody"), 4)
    assert caught.value.field == "store.s3.profile"


@pytest.mark.parametrize(
    ("values", "field"),
    [
        ({"blobs": "s3://"}, "blobs"),
        ({"blobs": "s3://Bucket"}, "blobs"),
        ({"blobs": "s3://bucket/../other"}, "blobs"),
        ({"blobs": "https://bucket"}, "blobs"),
        ({"s3": {"endpoint": "s3.example:9000"}}, "s3.endpoint"),
        ({"s3": {"endpoint": "https://key:secret@s3.example"}}, "s3.endpoint"),
        ({"s3": {"tries": 0}}, "s3.tries"),
    ],
)
def test_settings_that_cannot_be_right_are_refused_by_name(
    values: dict[str, object], field: str
) -> None:
    with pytest.raises(InvalidConfig) as caught:
        parse(StoreConfig, {"folder": "data"} | values)
    assert caught.value.field == field
    assert "secret" not in caught.value.message


def test_who_has_no_bucket_does_not_import_what_speaks_to_one() -> None:
    code = (
        "import sys; from pathlib import Path; from rankspace.store.config import StoreConfig; "
        "from rankspace.store.store import Store; Store.open(StoreConfig(folder=Path(sys.argv[1])))"
        ".close(); print(*{'boto3', 'botocore'} & set(sys.modules))"
    )
    with TemporaryDirectory() as folder:
        done = subprocess.run(
            [sys.executable, "-c", code, folder], check=True, capture_output=True, text=True
        )
    assert done.stdout.strip() == ""

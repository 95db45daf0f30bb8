"""One bucket of S3: requests that end within a bound, and what S3 says as leaves of the tree.

    it is away, slow, busy or full, or lets us in no longer   → Overloaded
    there is no such object                                   → NotFound
    it ends before the bytes that are asked for               → Corrupt
    what arrived is not what was sent, by its checksum        → Overloaded: nothing was stored
    when a store is opened: no bucket, no credentials, …      → InvalidConfig; away → Unreachable
    everything else is a bug of ours and stays what it is

A request is tried `tries` times in growing pauses. One that failed to the end shows that S3 is
away: for a moment all others are refused at once, then one of them tries; so who waits for S3 waits
for one request and not for all in line before it. boto3 is imported when a bucket is opened. It
finds credentials where every tool of AWS does; none is a setting, and none is kept here.
Source: the S3 API reference, "Error responses".
"""

import base64
import hashlib
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from email.utils import parsedate_to_datetime
from typing import Any

from rankspace.errors import (
    Corrupt,
    InvalidConfig,
    NotFound,
    Overloaded,
    RankspaceError,
    Unreachable,
)
from rankspace.store.config import S3Config

DELETED_MAX = 1000
"""Objects that one request may delete, and that one page of a list holds; S3's own bound."""

_PAUSE_S = 1.0
_AWAY = "the S3 server of the store cannot be reached, or has no time"
_DENIED = "the S3 server of the store does not let this server in"
_FULL = "the S3 server of the store is full"
_CHANGED = "media arrived at the S3 server of the store otherwise than they were sent"
_CREDENTIALS = "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or a profile"

_CODES = {
    "BadDigest": _CHANGED,
    "IncompleteBody": _CHANGED,
    "XAmzContentSHA256Mismatch": _CHANGED,
    "ExpiredToken": _DENIED,
    "NoSuchBucket": _AWAY,
    "QuotaExceeded": _FULL,
    "RequestTimeout": _AWAY,
    "XMinioStorageFull": _FULL,
}
"""What some errors mean whose status alone does not say it."""

_STATUSES = {401: _DENIED, 403: _DENIED, 408: _AWAY, 429: _AWAY, 507: _FULL}
_RETRY_S = {_AWAY: 1.0, _CHANGED: 0.1, _DENIED: 10.0, _FULL: 60.0}


class Bucket:
    """A bucket, or what lies below a prefix in it; safe to use from any number of threads."""

    def __init__(self, address: str, config: S3Config, connections: int) -> None:
        self._name, _, prefix = address.removeprefix("s3://").partition("/")
        self._prefix = prefix.rstrip("/") + "/" if prefix else ""
        self._config = config
        self._bound_s = config.tries * (config.connect_s + config.answer_s) + 2.0**config.tries
        self._away_until = 0.0
        self._client = _client(config, connections)

    def check(self) -> None:
        """Raise what is wrong with the bucket before anything is entrusted to it."""
        try:
            self._ask("head_bucket")
            versions = self._ask("get_bucket_versioning").get("Status")
        except NotFound as error:
            raise InvalidConfig(
                f"there is no bucket {self._name} where store.s3.endpoint and region lead; make "
                "it, or name another",
                "store.blobs",
            ) from error
        except Overloaded as error:
            raise self._at_opening(error) from error
        if versions == "Enabled":
            raise InvalidConfig(
                f"bucket {self._name} keeps old versions, so nothing in it is ever deleted; turn "
                "versioning off, or name another",
                "store.blobs",
            )

    def put(self, key: str, data: bytes) -> None:
        """Store an object; it is durable when this returns."""
        md5 = base64.b64encode(hashlib.md5(data, usedforsecurity=False).digest()).decode()
        self._ask("put_object", Key=self._prefix + key, Body=data, ContentMD5=md5)

    def get(self, key: str, start: int, length: int) -> bytes:
        """Bytes of an object from `start` on, fewer where it ends."""
        wanted = f"bytes={start}-{start + length - 1}"
        answer = self._ask("get_object", Key=self._prefix + key, Range=wanted)
        with _told():
            return answer["Body"].read()

    def delete(self, keys: Sequence[str]) -> None:
        """Delete objects, whether they are there or not."""
        for at in range(0, len(keys), DELETED_MAX):
            named = [{"Key": self._prefix + key} for key in keys[at : at + DELETED_MAX]]
            answer = self._ask("delete_objects", Delete={"Objects": named, "Quiet": True})
            if answer.get("Errors"):
                raise _overloaded(_DENIED)

    def list(self, start: str) -> Iterator[list[tuple[str, float]]]:
        """Every object whose key starts so, and its age in seconds by S3's own clock; in pages."""
        more: dict[str, str] = {}
        while True:
            page = self._ask("list_objects_v2", Prefix=self._prefix + start, **more)
            now = parsedate_to_datetime(page["ResponseMetadata"]["HTTPHeaders"]["date"])
            yield [
                (found["Key"][len(self._prefix) :], (now - found["LastModified"]).total_seconds())
                for found in page.get("Contents", ())
            ]
            if not page.get("IsTruncated"):
                return
            more = {"ContinuationToken": page["NextContinuationToken"]}

    def close(self) -> None:
        """Give all connections back."""
        self._client.close()

    def _ask(self, call: str, **arguments: Any) -> dict[str, Any]:
        """One request, or a refusal at once while S3 has just been found away."""
        now = time.monotonic()
        if now < self._away_until:
            raise _overloaded(_AWAY)
        if self._away_until:
            self._away_until = now + self._bound_s  # this one finds out, for all
        try:
            with _told():
                answer: dict[str, Any] = getattr(self._client, call)(Bucket=self._name, **arguments)
        except RankspaceError as error:
            away = error.message == _AWAY
            self._away_until = time.monotonic() + _PAUSE_S if away else 0.0
            raise
        self._away_until = 0.0
        return answer

    def _at_opening(self, error: Overloaded) -> RankspaceError:
        if error.message == _DENIED:
            return InvalidConfig(
                f"bucket {self._name} does not let this server in; {_CREDENTIALS}, that may put, "
                "get, delete and list objects there",
                "store.blobs",
            )
        return Unreachable(f"{error.message}; see to store.s3.endpoint", "store.s3.endpoint", 1.0)


def _client(config: S3Config, connections: int) -> Any:
    """What speaks to S3."""
    import boto3
    from botocore import exceptions
    from botocore.config import Config

    settings = Config(
        connect_timeout=config.connect_s,
        read_timeout=config.answer_s,
        retries={"mode": "standard", "total_max_attempts": config.tries},
        max_pool_connections=connections,
        tcp_keepalive=True,
        # Others than Amazon seldom have a name for each bucket, nor all of its new checksums.
        s3={"addressing_style": "path" if config.endpoint else "auto"},
        request_checksum_calculation="when_required",
        response_checksum_validation="when_required",
    )
    try:
        session = boto3.session.Session(profile_name=config.profile or None)
        return session.client(
            "s3",
            endpoint_url=config.endpoint or None,
            region_name=config.region or None,
            config=settings,
        )
    except exceptions.ProfileNotFound as error:
        raise InvalidConfig(
            f"there is no AWS profile {config.profile}; name one that is there", "store.s3.profile"
        ) from error
    except (exceptions.BotoCoreError, ValueError) as error:
        raise InvalidConfig(
            "S3 cannot be reached like this; see to endpoint, region and the files of AWS",
            "store.s3",
        ) from error


@contextmanager
def _told() -> Iterator[None]:
    """Turn what S3 and the way to it say into leaves."""
    from botocore import exceptions

    try:
        yield
    except exceptions.ClientError as error:
        raise (_leaf(error.response) or error) from error
    except (
        exceptions.NoCredentialsError,
        exceptions.PartialCredentialsError,
        exceptions.CredentialRetrievalError,
    ) as error:
        raise _overloaded(_DENIED) from error
    except (
        exceptions.ConnectionError,
        exceptions.HTTPClientError,
        exceptions.IncompleteReadError,
    ) as error:
        raise _overloaded(_AWAY) from error


def _leaf(response: dict[str, Any]) -> RankspaceError | None:
    code = response.get("Error", {}).get("Code", "")
    status = response["ResponseMetadata"]["HTTPStatusCode"]
    said = _CODES.get(code) or _STATUSES.get(status) or (_AWAY if status >= 500 else "")
    if said:
        return _overloaded(said)
    if status == 404:
        return NotFound("the S3 server of the store has no such object")
    if status == 416:
        return Corrupt("an object of the store is shorter than it was")
    return None


def _overloaded(said: str) -> Overloaded:
    return Overloaded(said, retry_after_s=_RETRY_S[said])

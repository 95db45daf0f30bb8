"""Where the store lies and how much it holds at once."""

import re
from pathlib import Path
from urllib.parse import urlsplit

from pydantic import Field, field_validator

from rankspace.config import HIDDEN, Config

_BUCKET = re.compile(r"s3://[a-z0-9][a-z0-9.-]{1,61}[a-z0-9](/(?!\.+(/|$))[\w.=-]+)*/?", re.ASCII)


class S3Config(Config):
    """How S3 is reached.

    Credentials are found where the tools of AWS find them: its variables, its files, the role of
    the machine. None is a setting.
    """

    endpoint: str = ""
    """Address of an S3 server that is not Amazon's, such as "https://s3.example:9000"."""

    region: str = ""
    """Region of the bucket; empty is AWS_DEFAULT_REGION's or the profile's."""

    profile: str = ""
    """Profile of the files of AWS; empty is AWS_PROFILE's, or none."""

    connect_s: float = Field(default=2.0, gt=0)
    """How long a connection to S3 may take."""

    answer_s: float = Field(default=8.0, gt=0)
    """How long S3 may be silent before a request is tried again."""

    inline_bytes_max: int = Field(default=256 << 10, ge=0, le=1 << 20)
    """Media bytes of a batch that are kept in its rows, where a bucket is used: more than without
    one, for a PUT takes longer than a commit does."""

    tries: int = Field(default=3, gt=0, le=10)
    """How often a request is made before the call is told that the store is overloaded; the pauses
    between are a second, two, four."""

    @field_validator("endpoint")
    @classmethod
    def _holds_no_secret(cls, endpoint: str) -> str:
        parts = urlsplit(endpoint)
        plain = parts.scheme in ("http", "https") and parts.hostname and "@" not in parts.netloc
        if endpoint and (not plain or parts.query or parts.fragment):
            raise ValueError("write https://HOST:PORT; credentials are found where AWS keeps them")
        return endpoint


class StoreConfig(Config):
    """One store. Any number of processes on one machine may open it at once."""

    folder: Path
    """Holds the database, blobs, models and caches; made when missing."""

    url: str = ""
    """SQLAlchemy address of the database; empty is `store.db` in `folder`. A password in it is not
    shown; PGPASSWORD or a .pgpass file keeps it out of the settings."""

    blobs: str = ""
    """Where media go that are not kept in rows: empty is `blobs` in `folder`; "s3://BUCKET/PREFIX"
    is a bucket."""

    s3: S3Config = S3Config()
    """How S3 is reached, if `blobs` is a bucket."""

    inline_bytes_max: int = Field(default=16 << 10, ge=0, le=1 << 20)
    """Media bytes of a batch that are kept in its rows; those of one that has more go into a region
    of its own, which is written once where a row is written twice (log and table)."""

    segment_bytes: int = Field(default=256 << 20, ge=4096)
    """Bytes of one file of large media; only a batch that has more makes a larger one."""

    page_rows: int = Field(default=64, gt=0, le=4096)
    """Records a read holds at once; with the limit of rows and 1 MiB of what lies in a region, or a
    sample that has more, this bounds its memory."""

    busy_s: float = Field(default=30.0, gt=0)
    """How long a transaction waits for another one before the store says it is overloaded."""

    connections: int = Field(default=16, gt=0, le=256)
    """Connections of one process; a thread beyond waits for `busy_s` at most."""

    orphan_age_s: float = Field(default=3600.0, ge=0)
    """Unreferenced blobs younger than this are kept: an append may be about to name them."""

    growing_media_max: int = Field(default=64, gt=0, le=65536)
    """Media that may grow in one stream at once."""

    growing_age_s: float = Field(default=3600.0, gt=0)
    """A growing medium is removed when nothing came for so long."""

    growing_taken_s: float = Field(default=60.0, ge=0)
    """A medium that a sample has named is kept so long for the same batch to come again."""

    rejects_bytes_max: int = Field(default=64 << 20, ge=0)
    """Bytes of refused samples kept in one stream, if they are kept; the oldest go first."""

    rejects_age_s: float = Field(default=30 * 86400.0, gt=0)
    """Refused samples are kept no longer."""

    cut_damaged_log: bool = False
    """Open a database whose write-ahead log is damaged before its end, and lose what follows; else
    it is refused as corrupt."""

    @field_validator("url")
    @classmethod
    def _is_whole(cls, url: str) -> str:
        if f":{HIDDEN}@" in url or f"={HIDDEN}" in url:
            raise ValueError(f"{HIDDEN} stands for a password that was not shown; write it there")
        return url

    @field_validator("blobs")
    @classmethod
    def _is_a_bucket(cls, blobs: str) -> str:
        if blobs and not _BUCKET.fullmatch(blobs):
            raise ValueError("write s3://BUCKET/PREFIX, or leave it empty for a folder")
        return blobs

    @property
    def rows_bytes_max(self) -> int:
        """Media bytes of a batch that are kept in its rows."""
        return self.s3.inline_bytes_max if self.blobs else self.inline_bytes_max

    @property
    def address(self) -> str:
        """The address of the database."""
        return self.url or f"sqlite+pysqlite:///{self.folder.absolute() / 'store.db'}"

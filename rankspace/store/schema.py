"""The tables, in SQL that SQLite and PostgreSQL both speak.

    streams ──< records ──< blob_uses        jobs ──< job_events        models ──< aliases

A record is a sample or a rejection (then `reject_reason` is set and there are no parts). Its media
lie in `payload`, one after the other, as far as they fit, and in blobs otherwise; `parts` tells
which. The hash comes before the payload in the row, so that checking hashes does not read media.
"""

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    Column,
    ForeignKey,
    ForeignKeyConstraint,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
)

VERSION = "1"
"""Written into every store; a store of another version is refused."""

metadata = MetaData()
_Key = BigInteger().with_variant(Integer, "sqlite")  # SQLite numbers INTEGER keys only

facts = Table(
    "facts",
    metadata,
    Column("name", String(64), primary_key=True),
    Column("value", Text, nullable=False),
)

streams = Table(
    "streams",
    metadata,
    Column("id", _Key, primary_key=True, autoincrement=True),
    Column("name", String(63), nullable=False, unique=True),
    Column("description", Text, nullable=False),
    Column("labels", JSON, nullable=False),
    Column("created_us", BigInteger, nullable=False),
    Column("finalized", Boolean, nullable=False, default=False),
    Column("next_offset", BigInteger, nullable=False, default=0),
    Column("rejected", BigInteger, nullable=False, default=0),
    Column("bytes", BigInteger, nullable=False, default=0),
    Column("epoch", BigInteger, nullable=False, default=0),
    Column("digest", LargeBinary(32), nullable=False),
    sqlite_autoincrement=True,  # the id of a deleted stream is never used again
)

records = Table(
    "records",
    metadata,
    Column("stream_id", ForeignKey("streams.id", ondelete="CASCADE"), primary_key=True),
    Column("offset", BigInteger, primary_key=True, autoincrement=False),
    Column("hash", LargeBinary(32), nullable=False),
    Column("sample_id", Text, nullable=False),
    Column("event_time_us", BigInteger, nullable=False),
    Column("reject_reason", String(63)),
    Column("reject_message", Text),
    Column("labels", JSON(none_as_null=True)),
    Column("parts", JSON(none_as_null=True)),
    Column("payload", LargeBinary),
)

blob_uses = Table(
    "blob_uses",
    metadata,
    Column("hash", String(64), primary_key=True),
    Column("stream_id", ForeignKey("streams.id", ondelete="CASCADE"), primary_key=True, index=True),
    Column("offset", BigInteger, primary_key=True, autoincrement=False),
)

jobs = Table(
    "jobs",
    metadata,
    Column("id", _Key, primary_key=True, autoincrement=True),
    Column("job_id", String(63), nullable=False, unique=True),
    Column("request_id", String(128), nullable=False, unique=True),
    Column("config", JSON, nullable=False),
    Column("state", String(16), nullable=False, index=True),
    Column("wish", String(16), nullable=False),
    Column("revision", BigInteger, nullable=False, default=0),
    Column("last_event", JSON(none_as_null=True)),
    Column("created_us", BigInteger, nullable=False),
    Column("updated_us", BigInteger, nullable=False),
    sqlite_autoincrement=True,
)

job_events = Table(
    "job_events",
    metadata,
    Column("job_id", ForeignKey("jobs.job_id", ondelete="CASCADE"), primary_key=True),
    Column("revision", BigInteger, primary_key=True, autoincrement=False),
    Column("created_us", BigInteger, nullable=False),
    Column("body", JSON, nullable=False),
)

models = Table(
    "models",
    metadata,
    Column("name", String(63), primary_key=True),
    Column("version", BigInteger, primary_key=True, autoincrement=False),
    Column("files", JSON, nullable=False),
    Column("lineage", JSON, nullable=False),
    Column("created_us", BigInteger, nullable=False),
)

aliases = Table(  # every move ever made; the newest of an alias counts
    "aliases",
    metadata,
    Column("alias", String(63), primary_key=True),
    Column("revision", BigInteger, primary_key=True, autoincrement=False),
    Column("name", String(63), nullable=False),
    Column("version", BigInteger, nullable=False),
    Column("before", BigInteger, nullable=False),  # the move that a roll-back returns to; 0: none
    Column("rolled_back", Boolean, nullable=False),
    Column("moved_us", BigInteger, nullable=False),
    ForeignKeyConstraint(["name", "version"], ["models.name", "models.version"]),
)

"""The tables, in SQL that SQLite and PostgreSQL both speak.

    streams ──< runs ──< tombstones          jobs ──< job_events        models ──< aliases
            ──< regions                      quarantine

A run is samples that came together (`runs.py`); at each of its offsets a tombstone may have taken
the place of the sample. Samples that were refused, or whose run is gone, are tombstones alone. A
run's media lie in `payload` or, where its batch has many, in a region of blobs. The hashes come
before the payload in the row, so that checking them does not read media; a tombstone keeps that of
its sample, so that the stream's digest can be checked for ever.
"""

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    Column,
    ForeignKey,
    ForeignKeyConstraint,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
)

VERSION = "6"
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
    Column("name", String(127), nullable=False, unique=True),
    Column("description", Text, nullable=False),
    Column("labels", JSON, nullable=False),
    Column("created_us", BigInteger, nullable=False),
    Column("retention_age_s", BigInteger, nullable=False, default=0),
    Column("retention_bytes", BigInteger, nullable=False, default=0),
    Column("deleted", Boolean, nullable=False, default=False),  # its records go in steps
    Column("finalized", Boolean, nullable=False, default=False),
    Column("strip_metadata", Boolean, nullable=False, default=False),
    Column("next_offset", BigInteger, nullable=False, default=0),
    Column("rejected", BigInteger, nullable=False, default=0),
    Column("bytes", BigInteger, nullable=False, default=0),
    Column("kept_bytes", BigInteger, nullable=False, default=0),
    Column("first_kept", BigInteger, nullable=False, default=0),  # all before it has expired
    Column("epoch", BigInteger, nullable=False, default=0),
    Column("digest", LargeBinary(32), nullable=False),
    sqlite_autoincrement=True,  # the id of a deleted stream is never used again
)

runs = Table(
    "runs",
    metadata,
    Column("stream_id", ForeignKey("streams.id", ondelete="CASCADE"), primary_key=True),
    Column("first", BigInteger, primary_key=True, autoincrement=False),
    Column("last", BigInteger, nullable=False),
    Column("created_us", BigInteger, nullable=False),
    Column("bytes", BigInteger, nullable=False),  # of media, as sent
    Column("region", Text),  # where the media are, where they are not the payload
    Column("hashes", LargeBinary, nullable=False),
    Column("told", Text, nullable=False),
    Column("payload", LargeBinary, nullable=False),
)

tombstones = Table(
    "tombstones",
    metadata,
    Column("stream_id", ForeignKey("streams.id", ondelete="CASCADE"), primary_key=True),
    Column("offset", BigInteger, primary_key=True, autoincrement=False),
    Column("created_us", BigInteger, nullable=False),
    Column("hash", LargeBinary(32), nullable=False),
    Column("sample_id", Text, nullable=False),
    Column("reason", String(63), nullable=False),
    Column("message", Text, nullable=False),
)

regions = Table(  # of blobs, with the media of one batch each
    "regions",
    metadata,
    Column("name", String(32), primary_key=True),
    Column("start", BigInteger, primary_key=True, autoincrement=False),
    Column("length", BigInteger, nullable=False),
    Column("stream_id", ForeignKey("streams.id", ondelete="CASCADE"), nullable=False),
    Column("last", BigInteger, nullable=False),  # the last offset whose media it holds
    Index("regions_by_stream", "stream_id", "last"),
)

quarantine = Table(  # runs with damaged samples as they were found, set aside by hand
    "quarantine",
    metadata,
    Column("stream_id", ForeignKey("streams.id", ondelete="CASCADE"), primary_key=True),
    Column("offset", BigInteger, primary_key=True, autoincrement=False),
    Column("created_us", BigInteger, nullable=False),
    Column("problem", Text, nullable=False),
    Column("first", BigInteger),  # of its run; none where that is lost
    Column("hashes", LargeBinary),  # once a run, with the first of its samples that is set aside
    Column("told", Text),
    Column("payload", LargeBinary),
)

jobs = Table(
    "jobs",
    metadata,
    Column("id", _Key, primary_key=True, autoincrement=True),
    Column("job_id", String(63), nullable=False, unique=True),
    Column("request_id", String(255), nullable=False, unique=True),
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
    Column("name", String(127), primary_key=True),
    Column("version", BigInteger, primary_key=True, autoincrement=False),
    Column("files", JSON, nullable=False),
    Column("lineage", JSON, nullable=False),
    Column("created_us", BigInteger, nullable=False),
)

aliases = Table(  # every move ever made; the newest of an alias counts
    "aliases",
    metadata,
    Column("alias", String(127), primary_key=True),
    Column("revision", BigInteger, primary_key=True, autoincrement=False),
    Column("name", String(127), nullable=False),
    Column("version", BigInteger, nullable=False),
    Column("before", BigInteger, nullable=False),  # the move that a roll-back returns to; 0: none
    Column("rolled_back", Boolean, nullable=False),
    Column("moved_us", BigInteger, nullable=False),
    ForeignKeyConstraint(["name", "version"], ["models.name", "models.version"]),
)

access_tokens = Table(  # who may ask; a name is never used again, so that logs stay clear
    "access_tokens",
    metadata,
    Column("name", String(63), primary_key=True),
    Column("sha256", String(64), nullable=False, unique=True),
    Column("scopes", JSON, nullable=False),
    Column("tenant", String(31), nullable=False),
    Column("created_us", BigInteger, nullable=False),
    Column("expires_us", BigInteger),
    Column("revoked_us", BigInteger),
)

growing = Table(  # media that come piece by piece, until a sample names them
    "growing",
    metadata,
    Column("stream_id", ForeignKey("streams.id", ondelete="CASCADE"), primary_key=True),
    Column("media_id", String(64), primary_key=True),
    Column("head", JSON, nullable=False),
    Column("position", BigInteger, nullable=False),
    Column("ended", Boolean, nullable=False),
    Column("taken", Boolean, nullable=False),  # a sample has named it
    Column("sha256", LargeBinary(32), nullable=False),  # once it has ended
    Column("begun_us", BigInteger, nullable=False),
    Column("touched_us", BigInteger, nullable=False, index=True),
)

pieces = Table(
    "pieces",
    metadata,
    Column("stream_id", _Key, primary_key=True, autoincrement=False),
    Column("media_id", String(64), primary_key=True),
    Column("position", BigInteger, primary_key=True, autoincrement=False),
    Column("data", LargeBinary, nullable=False),
    ForeignKeyConstraint(
        ["stream_id", "media_id"], ["growing.stream_id", "growing.media_id"], ondelete="CASCADE"
    ),
)

rejects = Table(  # refused samples as they were sent, where somebody wants them kept
    "rejects",
    metadata,
    Column("stream_id", ForeignKey("streams.id", ondelete="CASCADE"), primary_key=True),
    Column("offset", BigInteger, primary_key=True, autoincrement=False),
    Column("created_us", BigInteger, nullable=False, index=True),
    Column("sample_id", Text, nullable=False),
    Column("reason", String(63), nullable=False),
    Column("message", Text, nullable=False),
    Column("field", Text, nullable=False),
    Column("size", BigInteger, nullable=False),
    Column("raw_hash", LargeBinary(32), nullable=False),
    Column("hash", LargeBinary(32), nullable=False),  # of that and of all before it
    Column("raw", LargeBinary, nullable=False),
)

leases = Table(  # what only one process may do at a time
    "leases",
    metadata,
    Column("name", String(63), primary_key=True),
    Column("holder", String(255), nullable=False),
    Column("term", BigInteger, nullable=False),
    Column("beat", BigInteger, nullable=False),
)

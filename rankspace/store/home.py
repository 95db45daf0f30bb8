"""Whether a database and the place of its large media belong together.

    facts    store → 128 bits in hexadecimal, drawn when the store was made
             media → "folder" or "bucket"

The place holds a mark with that identity: in a folder a file, in a bucket an object. A server whose
folder or bucket is not that of its database would lose sight of what others have stored, and take
for unnamed what it does not know; it is refused before it serves. The database beside its media,
SQLite in the store's folder, needs no mark.
"""

import secrets
from pathlib import Path

from sqlalchemy import Connection, select

from rankspace.errors import InvalidConfig
from rankspace.store import files
from rankspace.store.blobs import Blobs
from rankspace.store.bucket import Bucket
from rankspace.store.config import StoreConfig
from rankspace.store.database import Database
from rankspace.store.objects import Objects
from rankspace.store.rows import insert_many
from rankspace.store.schema import facts
from rankspace.store.segments import Segments

MARK = "store.id"
"""The file in the store's folder that says whose media the folder holds."""

_WHERE = {"folder": "a folder", "bucket": "a bucket of S3"}


def open_blobs(database: Database, config: StoreConfig) -> Blobs:
    """Where the large media of a database lie; the first to ask makes it theirs."""
    bucket = None
    if config.blobs:
        bucket = Bucket(config.blobs, config.s3, config.connections)
        bucket.check()
    with database.read() as connection:
        known = _known(connection)
    if "store" not in known:
        with database.alone() as connection:  # another process may have come first
            known = _known(connection) or _claim(connection, config, bucket)
    kind = "bucket" if bucket else "folder"
    if known["media"] != kind:
        raise InvalidConfig(
            f"this database keeps its large media in {_WHERE[known['media']]}, and store.blobs "
            f"names {_WHERE[kind]}; set it to what the store was made with",
            "store.blobs",
        )
    if bucket is not None:
        objects = Objects(bucket, known["store"])
        objects.check()
        return objects
    if config.url and _mark(config.folder) != known["store"]:
        raise InvalidConfig(
            "this folder holds no media of this database; let all servers share one folder, or "
            "keep media in a bucket (store.blobs)",
            "store.folder",
        )
    return Segments(config.folder / "blobs", config.segment_bytes)


def _known(connection: Connection) -> dict[str, str]:
    query = select(facts.c.name, facts.c.value).where(facts.c.name.in_(("store", "media")))
    return {row.name: row.value for row in connection.execute(query)}


def _claim(connection: Connection, config: StoreConfig, bucket: Bucket | None) -> dict[str, str]:
    """Draw an identity, and leave its mark where the media will be."""
    known = {"store": secrets.token_hex(16), "media": "bucket" if bucket else "folder"}
    if bucket is not None:
        Objects(bucket, known["store"]).claim()
    elif config.url:
        # A crash before the commit leaves a mark that no database knows yet.
        known["store"] = _mark(config.folder) or known["store"]
        with files.whole(config.folder / MARK) as path:
            path.write_text(known["store"], "ascii")
    insert_many(connection, facts, list(known.items()))
    return known


def _mark(folder: Path) -> str:
    try:
        return (folder / MARK).read_text("ascii", "replace").strip()
    except FileNotFoundError:
        return ""

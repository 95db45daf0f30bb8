"""Where the store lies and how much it holds at once."""

from pathlib import Path

from pydantic import Field

from rankspace.config import Config


class StoreConfig(Config):
    """One store. Any number of processes on one machine may open it at once."""

    folder: Path
    """Holds the database, blobs, models and caches; made when missing."""

    url: str = ""
    """SQLAlchemy address of the database; empty is `store.db` in `folder`."""

    inline_bytes_max: int = Field(default=64 << 10, ge=0, le=1 << 20)
    """Media bytes of one sample kept beside its row; parts that do not fit become blobs. SQLite
    reads blobs below about 100 kB faster than a file system does
    (sqlite.org/intern-v-extern-blob.html)."""

    page_rows: int = Field(default=64, gt=0, le=4096)
    """Records a read holds at once; with the limit above this bounds its memory."""

    busy_s: float = Field(default=30.0, gt=0)
    """How long a transaction waits for another one before the store says it is overloaded."""

    connections: int = Field(default=16, gt=0, le=256)
    """Connections of one process; a thread beyond waits for `busy_s` at most."""

    orphan_age_s: float = Field(default=3600.0, ge=0)
    """Unreferenced blobs younger than this are kept: an append may be about to name them."""

    @property
    def address(self) -> str:
        """The address of the database."""
        return self.url or f"sqlite+pysqlite:///{self.folder.absolute() / 'store.db'}"

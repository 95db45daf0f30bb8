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

    inline_bytes_max: int = Field(default=8 << 10, ge=0, le=1 << 20)
    """Media bytes of one sample kept beside its row; the parts that do not fit go into the region
    of their batch, which is written once where a row is written twice (log and table)."""

    segment_bytes: int = Field(default=256 << 20, ge=4096)
    """Bytes of one file of large media; only a batch that has more makes a larger one."""

    page_rows: int = Field(default=64, gt=0, le=4096)
    """Records a read holds at once; with the limit above this bounds its memory."""

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

    @property
    def address(self) -> str:
        """The address of the database."""
        return self.url or f"sqlite+pysqlite:///{self.folder.absolute() / 'store.db'}"

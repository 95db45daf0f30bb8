"""The store, opened: one folder, one database, and the rooms that share them.

store.db   the log, the catalogue            blobs/    large media, where they are in no bucket
tokens/    symbols, derived                  models/   registered versions
jobs/      what running jobs keep, such as checkpoints
"""

from pathlib import Path

from rankspace.store import files
from rankspace.store.access import Access
from rankspace.store.blobs import Blobs
from rankspace.store.catalogue import Catalogue, open_catalogue
from rankspace.store.config import StoreConfig
from rankspace.store.database import Database
from rankspace.store.home import open_blobs
from rankspace.store.integrity import Integrity
from rankspace.store.leases import Leases
from rankspace.store.log import Log
from rankspace.store.pieces import Pieces
from rankspace.store.rejects import Rejects


class Store:
    """Everything that is kept; safe to use from any number of threads and processes."""

    def __init__(self, config: StoreConfig) -> None:
        self.config = config
        files.make_folder(config.folder.absolute())
        self._database = Database(config)
        self.blobs: Blobs = self._place()
        self.log = Log(self._database, self.blobs, config)
        self.pieces = Pieces(self._database, config)
        self.rejects = Rejects(self._database, config)
        self.integrity = Integrity(self._database, self.log, self.rejects)
        self.access = Access(self._database)
        self.leases = Leases(self._database)
        self.catalogue: Catalogue = open_catalogue(self._database, config.folder / "models")

    @classmethod
    def open(cls, config: StoreConfig) -> "Store":
        """Open a store, making it if there is none."""
        return cls(config)

    def close(self) -> None:
        """Give all connections back; what was acknowledged is on disk anyway."""
        self.blobs.close()
        self._database.close()

    def _place(self) -> Blobs:
        """Where large media go; without a right place there is no store."""
        ready = False
        try:
            blobs = open_blobs(self._database, self.config)
            ready = True
        finally:
            if not ready:
                self._database.close()
        return blobs

    @property
    def stopped(self) -> str:
        """Why nothing more is stored until the store is opened again; empty: it is."""
        return self._database.why_stopped

    @property
    def tokens(self) -> Path:
        """Where token caches lie."""
        return self._folder("tokens")

    def job_folder(self, job_id: str) -> Path:
        """Where a job keeps what it needs to go on."""
        return self._folder("jobs", job_id)

    def _folder(self, *names: str) -> Path:
        folder = self.config.folder.joinpath(*names)
        files.make_folder(folder)
        return folder

    def __enter__(self) -> "Store":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

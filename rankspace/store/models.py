"""Models: folders of files that never change, each with a name and a version.

    models/<name>/<version>/…      versions count from 1

A folder is copied, its files are hashed and brought to disk, and one rename puts it in place inside
the transaction that registers it. A crash before the commit leaves a folder without a row: the next
version replaces it. Servers that share a database and no folder know of each other's versions and
do not have their files.
"""

import secrets
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sqlalchemy import Row, func, insert, select

from rankspace.errors import Corrupt, InvalidInput, NotFound, Refused
from rankspace.store import files
from rankspace.store.aliases import NAME, Aliases, parse_reference
from rankspace.store.database import Database, now_us, token_number
from rankspace.store.entries import ModelVersion, Page
from rankspace.store.names import folder_name, owned
from rankspace.store.schema import models


class Models:
    """All models of a store; safe to use from any number of threads and processes."""

    def __init__(self, database: Database, folder: Path, aliases: Aliases) -> None:
        self._database = database
        self._aliases = aliases
        self._folder = folder
        files.make_folder(folder)

    def register(self, name: str, folder: Path, lineage: Mapping[str, Any]) -> ModelVersion:
        """Copy a folder and make it the next version of a model."""
        if not NAME.fullmatch(name):
            raise InvalidInput("a model name is 1 to 63 of a-z 0-9 -, no - first", "model")
        if not folder.is_dir():
            raise InvalidInput("the folder of the model is not there", "folder")
        home = self._path(name, 1).parent
        files.make_folder(home)
        copy = home / f".{secrets.token_hex(6)}{files.PART}"
        try:
            shutil.copytree(folder, copy)
            hashes = _settled(copy)
            with self._database.alone() as connection:
                query = select(func.max(models.c.version)).where(models.c.name == name)
                version = (connection.scalar(query) or 0) + 1
                row = {"files": hashes, "lineage": dict(lineage), "created_us": now_us()}
                connection.execute(insert(models).values(name=name, version=version, **row))
                self._place(copy, self._path(name, version))
        finally:
            shutil.rmtree(copy, ignore_errors=True)
        return self.get(name, version)

    def get(self, name: str, version: int = 0) -> ModelVersion:
        """A version of a model (0: the newest); its files are not looked at."""
        where = [models.c.name == name]
        if version:
            where.append(models.c.version == version)
        query = select(models).where(*where).order_by(models.c.version.desc()).limit(1)
        with self._database.read() as connection:
            row = connection.execute(query).one_or_none()
        if row is None:
            wanted = f"{name}@{version}" if version else name
            raise NotFound(f"there is no model {wanted}", "model")
        return self._version(row)

    def list(
        self, size: int = 100, token: str = "", tenant: str | None = None
    ) -> Page[ModelVersion]:
        """The newest version of every model by name; of all tenants, or of one."""
        newest = select(models.c.name, func.max(models.c.version).label("version"))
        where = models.c.name > token, owned(models.c.name, tenant)
        of = newest.where(*where).group_by(models.c.name).subquery()
        same = (models.c.name == of.c.name) & (models.c.version == of.c.version)
        query = select(models).join(of, same).order_by(models.c.name).limit(size + 1)
        with self._database.read() as connection:
            rows = connection.execute(query).all()
        items = tuple(map(self._version, rows[:size]))
        return Page(items, items[-1].name if len(rows) > size else "")

    def versions(self, name: str, size: int = 100, token: str = "") -> Page[ModelVersion]:
        """The versions of a model, the newest first, `size` at a time."""
        self.get(name)
        query = select(models).where(models.c.name == name).order_by(models.c.version.desc())
        if token:
            query = query.where(models.c.version < token_number(token))
        with self._database.read() as connection:
            rows = connection.execute(query.limit(size + 1)).all()
        items = tuple(map(self._version, rows[:size]))
        return Page(items, str(items[-1].version) if len(rows) > size else "")

    def resolve(self, reference: str) -> ModelVersion:
        """What an alias, a name (its newest version) or name@version means now."""
        if "@" in reference:
            return self.get(*parse_reference(reference))
        try:
            alias = self._aliases.get(reference)
        except NotFound:
            return self.get(reference)
        return self.get(alias.name, alias.version)

    def absent(self) -> tuple[str, ...]:
        """The versions whose files are not in this folder, by name."""
        query = select(models.c.name, models.c.version).order_by(models.c.name, models.c.version)
        with self._database.read() as connection:
            rows = connection.execute(query).all()
        return tuple(f"{n}@{version}" for n, version in rows if not self._path(n, version).is_dir())

    def verify(self, model: ModelVersion) -> Path:
        """The model's folder, after every file in it was checked against its hash."""
        check_here(model)
        found = files.manifest(model.folder)
        if found != model.files:
            wrong = sorted(name for name, _ in found.items() ^ model.files.items())
            raise Corrupt(f"model {model.reference} is not what was registered: {wrong[0]}")
        return model.folder

    def _path(self, name: str, version: int) -> Path:
        return self._folder / folder_name(name) / str(version)

    def _place(self, copy: Path, folder: Path) -> None:
        if folder.exists():  # no row names it: left by a crash
            shutil.rmtree(folder)
        copy.rename(folder)
        files.sync(folder.parent)

    def _version(self, row: Row[Any]) -> ModelVersion:
        return ModelVersion(**row._mapping, folder=self._path(row.name, row.version))


def check_here(model: ModelVersion) -> None:
    """Refuse a model that another server has."""
    if not model.folder.is_dir():
        raise Refused(
            f"the files of model {model.reference} are not on this server; ask the one that "
            "trained it, or let the servers share the folder models/"
        )


def _settled(folder: Path) -> dict[str, str]:
    """The manifest of a folder whose files are all on disk."""
    hashes = files.manifest(folder)
    if not hashes:
        raise InvalidInput("the folder of a model holds at least one file", "folder")
    for path in (folder, *folder.rglob("*")):
        files.sync(path)
    return hashes

"""The catalogue: jobs, models and aliases, side by side."""

from dataclasses import dataclass
from pathlib import Path

from rankspace.store.aliases import Aliases
from rankspace.store.database import Database
from rankspace.store.entries import JobState as JobState
from rankspace.store.jobs import Jobs
from rankspace.store.models import Models


@dataclass(frozen=True, slots=True)
class Catalogue:
    """What was asked for and what came of it."""

    jobs: Jobs
    models: Models
    aliases: Aliases


def open_catalogue(database: Database, folder: Path) -> Catalogue:
    """The catalogue in a database, with the files of models in a folder."""
    aliases = Aliases(database)
    return Catalogue(Jobs(database), Models(database, folder, aliases), aliases)

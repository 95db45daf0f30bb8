"""`rankspace models`: versions, aliases and export."""

from pathlib import Path
from typing import Annotated, Any

import typer

from services.cli.output import LOCAL, AsJson, Server, connected, plain, show

app = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode=None,
    help="Models and the aliases they are served under.",
)
Reference = Annotated[
    str, typer.Argument(metavar="MODEL", help="An alias, a name (its newest version) or name@3.")
]
Alias = Annotated[str, typer.Argument(metavar="ALIAS")]

COLUMNS = ("model", "created_us", "targets", "metrics")
ALIASES = ("alias", "model", "revision", "rolled_back", "moved_us", "history")


@app.command("list")
def list_(
    model: Annotated[
        str, typer.Argument(metavar="[NAME]", help="All versions of this model.")
    ] = "-",
    server: Server = LOCAL,
    as_json: AsJson = False,
) -> None:
    """The newest version of every model, or all versions of one."""
    with connected(server) as client:
        show(map(_row, client.list_model_versions(model)), as_json, COLUMNS)


@app.command("show")
def show_(model: Reference, server: Server = LOCAL, as_json: AsJson = False) -> None:
    """One version: what it can be asked for, its figures and where it came from."""
    with connected(server) as client:
        show([_row(client.get_model_version(model))], as_json, COLUMNS)


@app.command()
def aliases(server: Server = LOCAL, as_json: AsJson = False) -> None:
    """What every alias means now, and what roll-backs would return to."""
    with connected(server) as client:
        show(map(_alias, client.list_aliases()), as_json, ALIASES)


@app.command()
def promote(
    alias: Alias,
    version: Annotated[str, typer.Argument(metavar="NAME@VERSION")],
    server: Server = LOCAL,
    as_json: AsJson = False,
) -> None:
    """Point an alias at a version."""
    with connected(server) as client:
        show([_alias(client.promote_alias(alias, version))], as_json, ALIASES)


@app.command("roll-back")
def roll_back(alias: Alias, server: Server = LOCAL, as_json: AsJson = False) -> None:
    """Point an alias back at what it meant before."""
    with connected(server) as client:
        show([_alias(client.roll_back_alias(alias))], as_json, ALIASES)


@app.command()
def export(
    model: Reference,
    folder: Annotated[Path, typer.Argument(help="Must not exist yet.")],
    server: Server = LOCAL,
    as_json: AsJson = False,
) -> None:
    """Write the files of a version into a new folder."""
    with connected(server) as client:
        show([_row(client.export_model_version(model, folder))], as_json, COLUMNS)


def _row(version: Any) -> dict[str, Any]:
    lineage = version.lineage
    targets = [
        ":".join(filter(None, (target["modality"], target.get("role"))))
        for target in lineage.get("targets", ())
    ]
    known = {"model": version.reference, "targets": targets, "metrics": lineage.get("metrics", {})}
    return plain(version) | known


def _alias(alias: Any) -> dict[str, Any]:
    return plain(alias) | {"model": alias.reference}

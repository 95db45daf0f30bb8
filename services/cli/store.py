"""`rankspace store`: whether what is kept is what was written. For who runs the server.

These commands open the store itself, also while a server runs on it.
"""

from typing import Annotated

import typer

from rankspace.errors import Corrupt
from services.cli.output import AsJson, show
from services.cli.serve import ConfigFile, Folder, settings

app = typer.Typer(no_args_is_help=True, rich_markup_mode=None, help="What is kept, looked after.")

COLUMNS = ("stream", "offset", "what")


@app.command()
def check(config: ConfigFile = None, folder: Folder = None, as_json: AsJson = False) -> None:
    """Read everything and name what is damaged; exit status 1 if anything is."""
    from rankspace.store.integrity import Damage
    from rankspace.store.store import Store

    found: list[Damage] = []
    try:
        with Store.open(settings(config, folder=folder).store) as store:
            found.extend(store.integrity.check())
    except Corrupt as error:
        found.append(Damage("", -1, error.message))
    if found or as_json:
        show(found, as_json, COLUMNS)
    if found:
        raise typer.Exit(1)
    typer.echo("everything is what was written", err=True)


@app.command()
def quarantine(
    stream: Annotated[str, typer.Argument(metavar="STREAM")],
    offsets: Annotated[list[int], typer.Argument(metavar="OFFSET")],
    config: ConfigFile = None,
    folder: Folder = None,
) -> None:
    """Set damaged records aside; tombstones with the reason take their places."""
    from rankspace.store.store import Store

    with Store.open(settings(config, folder=folder).store) as store:
        number = store.integrity.set_aside(stream, offsets)
    typer.echo(f"{number} set aside; readers meet a tombstone there", err=True)

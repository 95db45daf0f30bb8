"""`rankspace serve`, `config` and `demo`: the server, its settings, and a tour of it."""

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from services.cli.output import AsJson

if TYPE_CHECKING:
    from services.config import ServerConfig

ConfigFile = Annotated[
    Path | None,
    typer.Option("--config", "-c", envvar="RANKSPACE_CONFIG", help="A TOML file of settings."),
]

Folder = Annotated[
    Path | None, typer.Option(help="Where everything is kept, in place of store.folder.")
]


def serve(
    config: ConfigFile = None,
    address: Annotated[
        str, typer.Option(metavar="HOST:PORT", help="In place of gateway.address.")
    ] = "",
    folder: Folder = None,
    processes: Annotated[
        str, typer.Option(metavar="N|auto", help="In place of server.processes.")
    ] = "",
) -> None:
    """Run the server until SIGTERM or Ctrl-C.

    Calls that are running may then end. Without settings: on loopback, SQLite and a folder of
    yours.
    """
    found = settings(config, address, folder, processes)
    import uvloop

    from services import telemetry
    from services.cluster import RayTrainer
    from services.gateway.server import serve as run
    from services.local import LocalEngine

    telemetry.start(found.gateway.log_level)
    if found.server.number > 1:
        from services.processes import supervise

        raise typer.Exit(uvloop.run(supervise(found)))

    async def work() -> None:
        trainer = RayTrainer(found.store, found.cluster)
        await run(found.placed, LocalEngine(found.store, trainer, found.engine))

    uvloop.run(work())


def config(
    path: ConfigFile = None,
    show: Annotated[bool, typer.Option("--show", help="Print every setting in force.")] = False,
    as_json: AsJson = False,
) -> None:
    """Check the server's settings, or print them."""
    found = settings(path)
    if as_json:
        from services.cli.settings import hidden

        typer.echo(json.dumps(hidden(found.model_dump(mode="json")), ensure_ascii=False))
    elif show:
        _show(found)
    else:
        typer.echo("the settings are right; --show prints them", err=True)


def demo(
    folder: Annotated[
        Path, typer.Option(help="Emptied first; then it holds the store and report.html.")
    ] = Path(".rankspace/demo"),
) -> None:
    """Run the main job on the built-in sample.

    It serves, ingests, trains, asks and writes report.html; the last line printed is JSON.
    """
    from services.demo.main import main

    main(folder)


def settings(
    path: Path | None, address: str = "", folder: Path | None = None, processes: str = ""
) -> "ServerConfig":
    """The server's settings: the file's, the environment's over it, the options' over both."""
    from services.config import server_config

    environment = dict(os.environ)
    if address:
        environment["RANKSPACE_GATEWAY__ADDRESS"] = json.dumps(address)
    if processes:
        environment["RANKSPACE_SERVER__PROCESSES"] = processes
    if folder:
        environment["RANKSPACE_STORE__FOLDER"] = json.dumps(str(folder.absolute()))
    return server_config(path, environment)


def _show(settings: "ServerConfig") -> None:
    from rankspace.generation.request import Sampling
    from rankspace.training.job import JobConfig
    from services.cli.settings import listed, toml

    def origin(names: Sequence[str], was_set: bool) -> str:
        variable = "RANKSPACE_" + "__".join(names).upper()
        if variable in os.environ:
            return f"from {variable}"
        return "from the file" if was_set else ""

    typer.echo("\n".join(toml(settings, origin)))
    typer.echo("")
    typer.echo("\n".join(listed(JobConfig(streams=("STREAM",)), "train --set NAME=VALUE")))
    typer.echo("\n".join(listed(Sampling(), "generate --set NAME=VALUE")))

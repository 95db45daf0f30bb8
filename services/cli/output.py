"""What commands share: their common options, the client they speak through, and how they print."""

import dataclasses
import json
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from rankspace.errors import (
    Denied,
    Forbidden,
    InvalidConfig,
    NotFound,
    OffsetGap,
    Overloaded,
    RankspaceError,
    Unreachable,
)

if TYPE_CHECKING:
    from rich.console import Console

    from rankspace.client import Client

LOCAL = "127.0.0.1:50051"
OPTIONS: dict[str, Path | None] = {}
"""Who the user is, as the options before the command said; see `rankspace.client.credentials`."""

Server = Annotated[
    str, typer.Option(envvar="RANKSPACE_SERVER", metavar="HOST:PORT", help="Where the server is.")
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON, one object a line.")]
Settings = Annotated[
    list[str],
    typer.Option("--set", "-s", metavar="NAME=VALUE", help="A setting; may be given often."),
]

HINTS: dict[type[RankspaceError], str] = {
    Unreachable: "start one with `rankspace serve`, name it with --server, or give --ca where it "
    "speaks TLS",
    Denied: "set RANKSPACE_TOKEN to a token of this server",
    Forbidden: "ask who runs the server for a token with this scope",
    Overloaded: "try again in a moment",
    OffsetGap: "give the --offset at which the interrupted run began",
    NotFound: "look with `rankspace streams list`, `rejects list`, `jobs list` or `models list`",
}


def complain(error: RankspaceError, as_json: bool = False) -> None:
    """Say on stderr what went wrong and what to do."""
    hint = HINTS.get(type(error), "")
    if isinstance(error, NotFound) and ("give a" in error.message or "read" in error.message):
        hint = ""  # about a file, and it says what to do
    if as_json:
        told = {"reason": error.reason(), "message": error.message, "field": error.field}
        typer.echo(json.dumps({"error": told}, ensure_ascii=False), err=True)
    else:
        typer.echo(f"rankspace: {error.message}{f'; {hint}' if hint else ''}", err=True)


@contextmanager
def connected(server: str) -> "Iterator[Client]":
    """A client for this command; Ctrl-C cancels what it does."""
    from rankspace.client import Client
    from rankspace.client.credentials import credentials

    found = credentials(OPTIONS)
    with Client(server, token=found.secret(), tls=found.tls()) as client:
        yield client


def words() -> "Console":
    """Where words, tables that move and progress bars go."""
    from rich.console import Console

    return Console(stderr=True, highlight=False)


def show(rows: Iterable[Any], as_json: bool, columns: Sequence[str]) -> None:
    """Print records: their columns as a table, or all of each as a line of JSON."""
    if as_json:
        for row in rows:
            typer.echo(json.dumps(plain(row), ensure_ascii=False))
        return
    from rich.console import Console
    from rich.table import Table

    table = Table(*columns, box=None, header_style="bold", pad_edge=False)
    for row in rows:
        values = plain(row)
        table.add_row(*(_cell(name, values.get(name)) for name in columns))
    # A pipe has no width to fit in.
    Console(width=None if sys.stdout.isatty() else 200, highlight=False).print(table)


def plain(value: Any) -> Any:
    """A record as JSON knows it."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        fields = dataclasses.fields(value)
        return {field.name: plain(getattr(value, field.name)) for field in fields}
    if isinstance(value, RankspaceError):
        return {"reason": value.reason(), "message": value.message, "field": value.field}
    if isinstance(value, Mapping):
        return {name: plain(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    return str(value) if isinstance(value, Path) else value


def parsed(settings: Sequence[str]) -> dict[str, Any]:
    """NAME=VALUE pairs; a value that is JSON is what it says, any other is a string."""
    values: dict[str, Any] = {}
    for setting in settings:
        name, separator, value = setting.partition("=")
        if not separator:
            raise InvalidConfig(f"--set {setting}: write it NAME=VALUE", name)
        try:
            values[name] = json.loads(value)
        except json.JSONDecodeError:
            values[name] = value
    return values


def _cell(name: str, value: Any) -> str:
    if name.endswith("_us") and isinstance(value, int):
        return datetime.fromtimestamp(value / 1e6, UTC).strftime("%Y-%m-%d %H:%M:%S")
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, dict):
        return " ".join(f"{key}={_cell('', item)}" for key, item in value.items())
    if isinstance(value, list):
        return " ".join(_cell("", item) for item in value)
    return "" if value is None else str(value)

"""`rankspace rejects`: refused samples that a stream keeps: list, show, try again."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from rankspace.errors import RankspaceError
from services.cli.output import LOCAL, AsJson, Server, connected, plain, show

if TYPE_CHECKING:
    from rankspace.client import Client
    from rankspace.media.sample import Sample
    from rankspace.store.entries import Refusal

app = typer.Typer(no_args_is_help=True, rich_markup_mode=None, help="Refused samples.")
Name = Annotated[str, typer.Argument(metavar="STREAM")]
Offset = Annotated[int, typer.Argument(min=0, metavar="OFFSET")]

COLUMNS = ("offset", "sample_id", "reason", "message", "field", "size", "created_us")


@app.command("list")
def list_(stream: Name, server: Server = LOCAL, as_json: AsJson = False) -> None:
    """The refused samples of a stream that are kept, the oldest first.

    A stream keeps them if its label rejects is keep, or if the server is set to keep all.
    """
    with connected(server) as client:
        show(map(_row, client.list_rejects(stream)), as_json, COLUMNS)


@app.command("show")
def show_(
    stream: Name,
    offset: Offset,
    save: Annotated[
        Path | None, typer.Option(metavar="FOLDER", help="Write its media there as they came.")
    ] = None,
    server: Server = LOCAL,
    as_json: AsJson = False,
) -> None:
    """One refused sample: why, and what was sent."""
    with connected(server) as client:
        refusal, sample = client.get_reject(stream, offset)
    row = _row(refusal) | {"parts": _parts(sample), "labels": dict(sample.labels) if sample else {}}
    show([row], as_json, (*COLUMNS, "parts", "labels"))
    if save is not None and sample is not None:
        save.mkdir(parents=True, exist_ok=True)
        for at, part in enumerate(sample.parts):
            (save / f"{offset}-{at}.{part.encoding or part.modality}").write_bytes(part.data)


@app.command()
def retry(
    stream: Name,
    offsets: Annotated[
        list[int] | None, typer.Argument(metavar="[OFFSET]...", help="Which; else all.")
    ] = None,
    server: Server = LOCAL,
    as_json: AsJson = False,
) -> None:
    """Append refused samples anew at the end, by the limits of today."""
    with connected(server) as client:
        wanted = offsets or [refusal.offset for refusal in client.list_rejects(stream)]
        rows = [_retried(client, stream, offset) for offset in wanted]
    show(rows, as_json, ("offset", "now_at", "reason", "message"))
    if any("reason" in row for row in rows):
        raise typer.Exit(1)


def _retried(client: "Client", stream: str, offset: int) -> dict[str, object]:
    try:
        return {"offset": offset, "now_at": client.retry_reject(stream, offset)}
    except RankspaceError as error:
        return {"offset": offset, "reason": error.reason(), "message": error.message}


def _row(refusal: "Refusal") -> dict[str, object]:
    row: dict[str, object] = plain(refusal)
    return {name: value for name, value in row.items() if name != "raw"}


def _parts(sample: "Sample | None") -> list[str]:
    return [
        f"{part.modality}{':' if part.role else ''}{part.role} {len(part.data)} B"
        for part in (sample.parts if sample else ())
    ]

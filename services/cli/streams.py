"""`rankspace streams`: list, make, show, close, delete and read streams."""

from typing import Annotated

import typer

from services.cli.output import LOCAL, AsJson, Server, connected, show

app = typer.Typer(no_args_is_help=True, rich_markup_mode=None, help="Streams of samples.")
Name = Annotated[str, typer.Argument(metavar="STREAM")]

COLUMNS = ("name", "next_offset", "rejected", "bytes", "finalized", "created_us", "description")


@app.command("list")
def list_(server: Server = LOCAL, as_json: AsJson = False) -> None:
    """All streams by name."""
    with connected(server) as client:
        show(client.list_streams(), as_json, COLUMNS)


@app.command()
def create(
    stream: Name,
    description: Annotated[str, typer.Option(help="For people.")] = "",
    server: Server = LOCAL,
    as_json: AsJson = False,
) -> None:
    """Make an empty stream."""
    with connected(server) as client:
        show([client.create_stream(stream, description)], as_json, COLUMNS)


@app.command("show")
def show_(stream: Name, server: Server = LOCAL, as_json: AsJson = False) -> None:
    """One stream and its figures."""
    with connected(server) as client:
        show([client.get_stream(stream)], as_json, COLUMNS)


@app.command()
def finalize(stream: Name, server: Server = LOCAL, as_json: AsJson = False) -> None:
    """Close a stream for good; what is in it stays."""
    with connected(server) as client:
        show([client.finalize_stream(stream)], as_json, COLUMNS)


@app.command()
def delete(
    stream: Name,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    server: Server = LOCAL,
) -> None:
    """Remove a stream and its samples."""
    if not yes:
        typer.confirm(f"Delete {stream} and its samples?", abort=True, err=True)
    with connected(server) as client:
        client.delete_stream(stream)


@app.command()
def read(
    stream: Name,
    offset: Annotated[int, typer.Option(help="The first offset.")] = 0,
    limit: Annotated[int, typer.Option(help="Samples at most; 0: all.")] = 0,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Wait for more.")] = False,
    server: Server = LOCAL,
    as_json: AsJson = False,
) -> None:
    """What is in a stream: a line a sample, media as sizes, refused samples with the reason."""
    with connected(server) as client:
        client.get_stream(stream)  # reading waits for a server to come back; this does not
        entries = client.read_entries(stream, offset, limit=limit, follow=follow)
        rows = (_row(at, entry) for at, entry in entries)
        show(rows, as_json, ("offset", "sample_id", "parts", "labels", "reason", "message"))


def _row(offset: int, entry: object) -> dict[str, object]:
    from rankspace.media.sample import Sample

    if not isinstance(entry, Sample):
        names = ("sample_id", "reason", "message")
        return {"offset": offset} | {name: getattr(entry, name) for name in names}
    parts = [
        f"{part.modality}{':' if part.role else ''}{part.role}"
        f" {len(part.data) or sum(len(frame.image) for frame in part.frames)} B"
        for part in entry.parts
    ]
    return {
        "offset": offset,
        "sample_id": entry.sample_id,
        "event_time_us": entry.event_time_us,
        "labels": dict(entry.labels),
        "parts": parts,
    }

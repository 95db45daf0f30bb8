"""`rankspace streams`: list, make, show, close, delete and read streams."""

import json
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any

import typer

from rankspace.errors import InvalidInput
from services.cli.output import LOCAL, AsJson, Server, connected, show

if TYPE_CHECKING:
    from rankspace.store.entries import Stream

app = typer.Typer(no_args_is_help=True, rich_markup_mode=None, help="Streams of samples.")
Name = Annotated[str, typer.Argument(metavar="STREAM")]

TAIL = 10
STATS = (
    "name", "next_offset", "first_kept", "rejected", "bytes", "kept_bytes", "finalized",
    "samples_per_s", "bytes_per_s",
)  # fmt: skip
COLUMNS = (
    "name", "next_offset", "rejected", "bytes", "finalized", "strip_metadata", "created_us",
    "description",
)  # fmt: skip
ALL = (*COLUMNS, "labels", "retention")


@app.command("list")
def list_(server: Server = LOCAL, as_json: AsJson = False) -> None:
    """All streams by name."""
    with connected(server) as client:
        show(client.list_streams(), as_json, COLUMNS)


@app.command()
def create(
    stream: Name,
    description: Annotated[str, typer.Option(help="For people.")] = "",
    label: Annotated[
        list[str] | None,
        typer.Option(metavar="KEY=VALUE", help="Such as rejects=keep; may be given often."),
    ] = None,
    strip_metadata: Annotated[
        bool, typer.Option("--strip-metadata", help="Store media without EXIF, places, tags.")
    ] = False,
    server: Server = LOCAL,
    as_json: AsJson = False,
) -> None:
    """Make an empty stream."""
    with connected(server) as client:
        labels = _pairs(label or [])
        made = client.create_stream(stream, description, labels, strip_metadata=strip_metadata)
        show([made], as_json, ALL)


@app.command("show")
def show_(stream: Name, server: Server = LOCAL, as_json: AsJson = False) -> None:
    """One stream and its figures."""
    with connected(server) as client:
        show([client.get_stream(stream)], as_json, ALL)


@app.command()
def update(  # noqa: PLR0913 - each is an option
    stream: Name,
    description: Annotated[str | None, typer.Option(help="For people.")] = None,
    label: Annotated[
        list[str] | None,
        typer.Option(metavar="KEY=VALUE", help="All labels from now on; may be given often."),
    ] = None,
    keep_seconds: Annotated[
        int | None, typer.Option(min=0, help="Samples older than this expire; 0: never.")
    ] = None,
    keep_bytes: Annotated[
        int | None, typer.Option(min=0, help="Samples beyond the newest bytes expire; 0: none.")
    ] = None,
    server: Server = LOCAL,
    as_json: AsJson = False,
) -> None:
    """Change what a stream says of itself and how long it keeps samples; the rest stays."""
    from rankspace.store.entries import Retention

    with connected(server) as client:
        retention = None
        if keep_seconds is not None or keep_bytes is not None:
            old = client.get_stream(stream).retention
            age = old.age_s if keep_seconds is None else keep_seconds
            retention = Retention(age, old.bytes if keep_bytes is None else keep_bytes)
        labels = None if label is None else _pairs(label)
        show([client.update_stream(stream, description, labels, retention)], as_json, ALL)


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


@app.command()
def tail(  # noqa: PLR0913 - each is an option
    stream: Name,
    start: Annotated[
        int | None, typer.Option("--from", min=0, help="The first offset; else the last ten.")
    ] = None,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Wait for more.")] = False,
    modality: Annotated[
        list[str], typer.Option(help="With a part of this modality; may be given often.")
    ] = [],  # noqa: B006 - typer copies it
    role: Annotated[
        list[str], typer.Option(help="With a part of this role; may be given often.")
    ] = [],  # noqa: B006
    label: Annotated[
        list[str], typer.Option(metavar="KEY=VALUE", help="With this label; may be given often.")
    ] = [],  # noqa: B006
    server: Server = LOCAL,
    as_json: AsJson = False,
) -> None:
    """What comes into a stream, a line a sample; media that are not wanted are not sent."""
    from rankspace.media.sample import MODALITIES
    from rankspace.wire.ingestion import Filter

    if unknown := set(modality) - set(MODALITIES):
        raise InvalidInput(
            f"there is no modality {min(unknown)}; take one of {', '.join(MODALITIES)}", "modality"
        )
    roles, labels = frozenset(role), _pairs(label)
    sieved = bool(modality or role or label)
    wanted = Filter(frozenset(modality), roles, labels, rejected=not sieved)  # type: ignore[arg-type]
    with connected(server) as client:
        end = client.get_stream(stream).next_offset
        at = max(0, end - TAIL) if start is None else start
        for offset, entry in client.read_entries(stream, at, follow=follow, wanted=wanted):
            row = _row(offset, entry)
            typer.echo(json.dumps(row, ensure_ascii=False) if as_json else _line(row))


@app.command()
def stats(
    streams: Annotated[
        list[str], typer.Argument(metavar="[STREAM]...", help="Which; else all.")
    ] = [],  # noqa: B006
    every: Annotated[
        float, typer.Option(min=0, metavar="SECONDS", help="Look again and again; 0: once.")
    ] = 0.0,
    looks: Annotated[int, typer.Option(min=0, help="Looks at most; 0: until Ctrl-C.")] = 0,
    server: Server = LOCAL,
    as_json: AsJson = False,
) -> None:
    """How much is in each stream, and how fast it has grown since the look before."""
    with connected(server) as client:
        before: dict[str, Stream] = {}
        at, look = time.monotonic(), 0
        while True:
            found = map(client.get_stream, streams) if streams else client.list_streams()
            now = {stream.name: stream for stream in found}
            since, at = time.monotonic() - at, time.monotonic()
            rows = [_rates(stream, before.get(name), since) for name, stream in now.items()]
            show(rows, as_json, STATS)
            before, look = now, look + 1
            if not every or look == looks:
                return
            time.sleep(every)


def _rates(now: "Stream", before: "Stream | None", seconds: float) -> dict[str, object]:
    row: dict[str, object] = {
        "name": now.name,
        "next_offset": now.next_offset,
        "first_kept": now.first_kept,
        "rejected": now.rejected,
        "bytes": now.bytes,
        "kept_bytes": now.kept_bytes,
        "finalized": now.finalized,
    }
    if before is None:
        return row
    return row | {
        "samples_per_s": (now.next_offset - before.next_offset) / seconds,
        "bytes_per_s": (now.bytes - before.bytes) / seconds,
    }


def _pairs(labels: list[str]) -> dict[str, str]:
    for label in labels:
        if "=" not in label:
            raise InvalidInput(f"--label {label}: write it KEY=VALUE", "label")
    return dict(label.split("=", 1) for label in labels)


def _line(row: Mapping[str, Any]) -> str:
    """An entry as one line for a person."""
    words = [str(row["offset"]), row["sample_id"]]
    if "reason" in row:
        return " ".join([*words, f"refused {row['reason']}: {row['message']}"])
    labels = [f"{key}={value}" for key, value in row["labels"].items()]
    return " ".join([*words, f"[{', '.join(row['parts'])}]", *labels])


def _row(offset: int, entry: object) -> dict[str, Any]:
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

"""`rankspace ingest`: real files into a stream, each sample exactly once."""

import time
from collections.abc import Iterator
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from rankspace.errors import AlreadyExists
from services.cli.output import LOCAL, AsJson, Server, connected, show, words

if TYPE_CHECKING:
    from rich.console import Console

    from rankspace.client import AppendSummary, Client
    from rankspace.media.sample import Sample

REJECTS_SHOWN = 10


def ingest(
    paths: Annotated[
        list[Path], typer.Argument(metavar="PATH...", help="Folders, .jsonl, .tar or media files.")
    ],
    stream: Annotated[str, typer.Option(help="Where to; made if there is none.")],
    offset: Annotated[
        int | None,
        typer.Option(
            min=0,
            help="Where the first sample lands, to go on after an interrupted run: what is there "
            "already is recognised by its content.",
        ),
    ] = None,
    server: Server = LOCAL,
    as_json: AsJson = False,
) -> None:
    """Store real files, each sample exactly once.

    Files of one stem are the parts of one sample: cat.jpg, cat.ru.txt, cat.speech-ru.ogg.
    """
    from services.readers import read

    out = words()

    def note(text: str) -> None:
        out.print(text, style="yellow", soft_wrap=True)

    sources = [read(path, note=note) for path in paths]  # refuses a wrong path at once
    began = time.monotonic()
    with connected(server) as client:
        start = _start(client, stream, offset)
        try:
            summary = _appended(client, stream, chain.from_iterable(sources), start, out)
        except BaseException as error:
            if not isinstance(error, AlreadyExists):
                out.print(f"not finished; to go on, run the same again with --offset {start}")
            raise
    seconds = time.monotonic() - began
    _report(summary, start, seconds, out, as_json)
    if summary.samples == summary.rejected:
        out.print("nothing was stored; see the reasons above or the paths given", style="red")
        raise typer.Exit(1)


def _start(client: "Client", stream: str, offset: int | None) -> int:
    from rankspace.errors import NotFound

    try:
        found = client.get_stream(stream)
    except NotFound:
        found = client.create_stream(stream)
    return found.next_offset if offset is None else offset


def _appended(
    client: "Client", stream: str, samples: "Iterator[Sample]", start: int, out: "Console"
) -> "AppendSummary":
    from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    columns = (
        SpinnerColumn(),
        TextColumn(f"{stream}"),
        BarColumn(),
        TextColumn("{task.fields[samples]} samples"),
        TextColumn("{task.fields[samples_per_s]:.0f}/s"),
        TextColumn("{task.fields[mb_per_s]:.1f} MB/s"),
        TextColumn("[red]{task.fields[refused]}"),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=out, transient=True, disable=not out.is_terminal) as bar:
        task = bar.add_task("", total=None, **_figures(None, 0.0))
        began = time.monotonic()

        def progress(summary: "AppendSummary") -> None:
            bar.update(task, **_figures(summary, time.monotonic() - began))

        return client.append(stream, samples, offset=start, progress=progress)


def _figures(summary: "AppendSummary | None", seconds: float) -> dict[str, Any]:
    if summary is None:
        return {"samples": 0, "samples_per_s": 0.0, "mb_per_s": 0.0, "refused": ""}
    return {
        "samples": summary.samples,
        "samples_per_s": summary.samples / max(seconds, 1e-9),
        "mb_per_s": summary.bytes / 1e6 / max(seconds, 1e-9),
        "refused": f"{summary.rejected} refused" if summary.rejected else "",
    }


def _report(
    summary: "AppendSummary", start: int, seconds: float, out: "Console", as_json: bool
) -> None:
    from services.cli.output import plain

    if not as_json:
        for error in summary.errors[:REJECTS_SHOWN]:
            told = f"refused {error.offset} {error.sample_id}: {error.error}"
            out.print(told, style="yellow", soft_wrap=True)
        if summary.rejected > REJECTS_SHOWN:
            out.print(f"{summary.rejected} refused in all: rankspace streams read {summary.stream}")
    figures = _figures(summary, seconds)
    row = plain(summary) | {
        "offset": start,
        "stored": summary.samples - summary.rejected,
        "seconds": round(seconds, 3),
        "samples_per_s": round(figures["samples_per_s"], 1),
        "mb_per_s": round(figures["mb_per_s"], 2),
    }
    columns = ("stream", "offset", "stored", "rejected", "duplicates", "bytes", "seconds")
    show([row], as_json, (*columns, "samples_per_s", "mb_per_s"))

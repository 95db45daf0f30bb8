"""`rankspace jobs`: list, show, watch and steer training jobs."""

import time
from collections.abc import Iterator, Mapping
from itertools import groupby
from typing import TYPE_CHECKING, Annotated, Any

import typer

from services.cli.output import LOCAL, AsJson, Server, connected, plain, show, words

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

    from rankspace.client import Client
    from rankspace.store.entries import Job

app = typer.Typer(no_args_is_help=True, rich_markup_mode=None, help="Training jobs.")
Name = Annotated[str, typer.Argument(metavar="JOB")]

COLUMNS = ("job_id", "state", "phase", "step", "loss", "held_out_loss", "message", "created_us")


@app.command("list")
def list_(server: Server = LOCAL, as_json: AsJson = False) -> None:
    """All jobs, the newest first."""
    with connected(server) as client:
        show(map(row, client.list_jobs()), as_json, COLUMNS)


@app.command("show")
def show_(job: Name, server: Server = LOCAL, as_json: AsJson = False) -> None:
    """One job and its latest event."""
    with connected(server) as client:
        show([row(client.get_job(job))], as_json, COLUMNS)


@app.command()
def watch(job: Name, server: Server = LOCAL, as_json: AsJson = False) -> None:
    """Follow a job to its end; leaving does not stop it."""
    with connected(server) as client:
        client.get_job(job)  # watching waits for a server to come back; this does not
        follow(client, job, as_json)


@app.command()
def cancel(job: Name, server: Server = LOCAL, as_json: AsJson = False) -> None:
    """Stop a job for good; what it has saved stays."""
    with connected(server) as client:
        show([row(client.cancel_job(job))], as_json, COLUMNS)


@app.command()
def pause(job: Name, server: Server = LOCAL, as_json: AsJson = False) -> None:
    """Stop a job at its next checkpoint until it is resumed."""
    with connected(server) as client:
        show([row(client.pause_job(job))], as_json, COLUMNS)


@app.command()
def resume(job: Name, server: Server = LOCAL, as_json: AsJson = False) -> None:
    """Let a paused job go on."""
    with connected(server) as client:
        show([row(client.resume_job(job))], as_json, COLUMNS)


def row(job: "Job") -> dict[str, Any]:
    """A job and the figures of its latest event, side by side."""
    return dict(job.last_event or {}) | plain(job)


def follow(client: "Client", job: str, as_json: bool) -> None:
    """Show a job's events until it is over: JSON lines, or a table that moves."""
    out = words()
    try:
        if as_json:
            show((plain(event) for event in client.watch_job(job)), True, ())
        else:
            _live(out, (event.body for event in client.watch_job(job)))
    except KeyboardInterrupt:
        out.print(f"the job goes on: rankspace jobs watch {job}, or rankspace jobs cancel {job}")
        raise
    ended = client.get_job(job)
    if not as_json:
        show([row(ended)], False, COLUMNS)
    if ended.state != "succeeded":
        raise typer.Exit(1)


def _live(out: "Console", events: Iterator[Mapping[str, Any]]) -> None:
    from rich.live import Live

    if not out.is_terminal:
        for line, _ in groupby(map(_line, events)):
            out.print(line, soft_wrap=True)
        return
    began = time.monotonic()
    with Live(console=out, refresh_per_second=4) as live:
        for event in events:
            live.update(_table(event, time.monotonic() - began))


def _line(event: Mapping[str, Any]) -> str:
    figures = [f"{name} {event[name]:.4g}" for name in ("loss", "held_out_loss") if event.get(name)]
    steps = f"{event.get('step', 0)}/{event.get('steps', 0)}" if event.get("steps") else ""
    return " ".join(filter(None, (event["phase"], steps, *figures, event.get("message", ""))))


def _table(event: Mapping[str, Any], seconds: float) -> "Table":
    from rich.progress_bar import ProgressBar
    from rich.table import Table

    table = Table.grid(padding=(0, 2))
    steps = f"step {event['step']}/{event['steps']}" if event.get("steps") else ""
    table.add_row("[bold]" + event["phase"], ProgressBar(1, event.get("progress", 0), 40), steps)
    for name in ("loss", "held_out_loss"):
        if event.get(name) is not None:
            table.add_row(name.replace("_", " "), f"{event[name]:.4f} nats/symbol")
    for source, weight in event.get("source_weights", {}).items():
        loss = event.get("source_losses", {}).get(source)
        table.add_row(source, f"weight {weight:.3f}", "" if loss is None else f"loss {loss:.4f}")
    for name, beta in event.get("betas", {}).items():
        table.add_row(f"β {name}", f"{beta:.3f}")
    rate = f"{event.get('symbols_per_s', 0):,.0f} symbols/s"
    table.add_row(rate, f"{seconds:.0f} s, {event.get('eta_s', 0):.0f} s to go")
    for warning in event.get("warnings", ()):
        table.add_row("[yellow]warning", warning)
    table.add_row("", event.get("message", ""))
    return table

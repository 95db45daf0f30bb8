"""The commands put together, and how they fail: one line and an exit status."""

import sys
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from rankspace.errors import RankspaceError
from services.cli import (
    generate,
    ingest,
    jobs,
    models,
    rejects,
    serve,
    store,
    streams,
    tokens,
    train,
)


class _Told(TyperGroup):
    """Commands whose refusals end in one line and exit status 1."""

    def invoke(self, ctx: Any) -> Any:
        """Run the command."""
        try:
            return super().invoke(ctx)
        except RankspaceError as error:
            from services.cli.output import complain

            complain(error, as_json="--json" in sys.argv)
            raise typer.Exit(1) from error


app = typer.Typer(
    cls=_Told,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,  # plain help takes half the time
    context_settings={"help_option_names": ["-h", "--help"]},
    help="Mixed streams in, one small model learnt, answers in any modality out.",
    epilog="Environment: RANKSPACE_SERVER, RANKSPACE_TOKEN, and RANKSPACE_TOKEN_FILE, _CA, "
    "_CERTIFICATE, _KEY (files).",
)
app.command()(serve.serve)
app.command()(ingest.ingest)
app.command()(train.train)
app.command()(generate.generate)
app.add_typer(models.app, name="models")
app.add_typer(streams.app, name="streams")
app.add_typer(rejects.app, name="rejects")
app.add_typer(jobs.app, name="jobs")
app.add_typer(store.app, name="store")
app.add_typer(tokens.app, name="tokens")
app.command()(tokens.audit)
app.command()(serve.demo)
app.command()(serve.config)


def _version(asked: bool) -> None:
    if asked:
        from importlib.metadata import version

        typer.echo(version("rankspace"))
        raise typer.Exit


@app.callback()
def _root(
    _asked: Annotated[
        bool,
        typer.Option("--version", help="Print the version.", callback=_version, is_eager=True),
    ] = False,
    token_file: Annotated[Path | None, typer.Option(help="Holds the token to ask with.")] = None,
    ca: Annotated[Path | None, typer.Option(help="PEM of who signs the server.")] = None,
    certificate: Annotated[Path | None, typer.Option(help="PEM that says who asks.")] = None,
    key: Annotated[Path | None, typer.Option(help="PEM key of the certificate.")] = None,
) -> None:
    """Take the options that stand before any command."""
    from services.cli.output import OPTIONS

    given = {"token_file": token_file, "ca": ca, "certificate": certificate, "key": key}
    OPTIONS.update(given)


def main() -> None:
    """Run the command line of this process."""
    app(prog_name="rankspace")

"""`rankspace tokens` and `audit`: who may ask, and who did what. For who runs the server.

These commands open the store itself, so they need no server and no token, and a server that runs
takes notice of what they change. Whoever can read the store's folder may do all of it anyway.
"""

import getpass
import json
import re
import time
from typing import TYPE_CHECKING, Annotated, get_args

import typer

from rankspace.errors import InvalidConfig
from services.cli.output import AsJson, show
from services.cli.serve import ConfigFile, Folder, settings

if TYPE_CHECKING:
    from services.config import ServerConfig

app = typer.Typer(no_args_is_help=True, rich_markup_mode=None, help="Who may ask.")
Name = Annotated[str, typer.Argument(metavar="NAME", help="What logs call the holder.")]
COLUMNS = ("name", "tenant", "scopes", "created_us", "expires_us", "revoked_us")
SPAN = re.compile(r"(\d{1,6})([smhd])")
SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400}


@app.command()
def create(  # noqa: PLR0913 - each is an option
    name: Name,
    scope: Annotated[
        str, typer.Option(metavar="SCOPE,…", help="ingest, read, train, generate, admin.")
    ],
    tenant: Annotated[str, typer.Option(help="Whose names the holder sees; none: plain.")] = "",
    expires: Annotated[
        str, typer.Option(metavar="SPAN", help="Such as 30d, 12h, 45m; none: never.")
    ] = "",
    config: ConfigFile = None,
    folder: Folder = None,
    as_json: AsJson = False,
) -> None:
    """Make a token and print it, once: the store keeps its hash only."""
    from rankspace.store.access import StoredToken
    from rankspace.store.store import Store
    from services.auth.tokens import digest, new_secret

    found = settings(config, folder=folder)
    scopes, span_s = _scopes(scope), _seconds(expires)
    secret, now_us = new_secret(), time.time_ns() // 1000
    expires_us = now_us + span_s * 1_000_000 if span_s else None
    with Store.open(found.store) as store:
        token = StoredToken(name, digest(secret), scopes, tenant, now_us, expires_us, None)
        store.access.create(token)
    _note(found, "create", name, tenant)
    if as_json:
        typer.echo(json.dumps({"name": name, "token": secret, "expires_us": expires_us}))
    else:
        typer.echo(secret)


@app.command("list")
def list_(config: ConfigFile = None, folder: Folder = None, as_json: AsJson = False) -> None:
    """Every token there ever was: whose, what for, until when; never the token."""
    from rankspace.store.store import Store

    with Store.open(settings(config, folder=folder).store) as store:
        show(store.access.list(), as_json, COLUMNS)


@app.command()
def revoke(
    name: Name, config: ConfigFile = None, folder: Folder = None, as_json: AsJson = False
) -> None:
    """Make a token worth nothing, for calls that are open too; its name is not used again."""
    from rankspace.store.store import Store

    found = settings(config, folder=folder)
    with Store.open(found.store) as store:
        token = store.access.revoke(name)
    _note(found, "revoke", name, token.tenant)
    if as_json:
        show([token], as_json, COLUMNS)


def audit(
    since: Annotated[
        str, typer.Option(metavar="WHEN", help="A time such as 2026-01-31T12:00, or a span: 2h.")
    ] = "",
    config: ConfigFile = None,
    folder: Folder = None,
    as_json: AsJson = False,
) -> None:
    """Who did what: every call that changed something, and every denial."""
    from datetime import UTC, datetime, timedelta

    from services.audit import deeds

    if SPAN.fullmatch(since):
        past = datetime.now(UTC) - timedelta(seconds=_seconds(since))
        since = past.isoformat(timespec="milliseconds")
    elif since:
        since = _moment(since)
    columns = ("time", "caller", "tenant", "method", "about", "code", "peer")
    show(deeds(settings(config, folder=folder).audit_folder, since), as_json, columns)


def _scopes(text: str) -> tuple[str, ...]:
    from services.auth.rules import Scope

    names = tuple(dict.fromkeys(filter(None, map(str.strip, text.split(",")))))
    wrong = [name for name in names if name not in get_args(Scope)]
    if wrong or not names:
        known = ", ".join(get_args(Scope))
        raise InvalidConfig(f"--scope {text}: name some of {known}, with commas between", "scope")
    return names


def _seconds(span: str) -> int:
    if not span:
        return 0
    found = SPAN.fullmatch(span)
    if found is None or not int(found[1]):
        raise InvalidConfig(f"{span} is no span; write it 30d, 12h, 45m or 90s", "expires")
    return int(found[1]) * SECONDS[found[2]]


def _moment(text: str) -> str:
    from datetime import UTC, datetime

    try:
        found = datetime.fromisoformat(text)
    except ValueError as error:
        raise InvalidConfig(
            f"{text} is no time; write it 2026-01-31T12:00, or a span such as 2h", "since"
        ) from error
    found = found if found.tzinfo else found.replace(tzinfo=UTC)
    return found.astimezone(UTC).isoformat(timespec="milliseconds")


def _note(found: "ServerConfig", verb: str, name: str, tenant: str) -> None:
    from services.audit import CHANGES, Deed, write_down

    who = f"local:{getpass.getuser()}"
    write_down(found.audit_folder, CHANGES, [Deed(who, tenant, f"tokens {verb}", name, "OK")])

"""The audit log: who did what and who was refused, in names only, bounded and kept for its days."""

import asyncio
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from rankspace.client import AsyncClient
from rankspace.errors import Denied, Forbidden
from rankspace.media.sample import Part, Sample
from rankspace.store.config import StoreConfig
from rankspace.store.store import Store
from services.audit import CHANGES, DENIALS, Audit, AuditConfig, Deed, deeds, forget, write_down
from services.cli.app import app
from services.gateway.config import GatewayConfig
from services.gateway.server import running
from tests.services.holders import issue
from tests.services.parrot import ParrotEngine

SECRET = b"content that no log may hold"


def told(deed: dict[str, str]) -> tuple[str, str, str, str, str]:
    method = deed["method"].rpartition("/")[2]
    return deed["caller"], deed["tenant"], method, deed["about"], deed["code"]


async def test_what_changes_and_what_is_denied_is_written_down_and_nothing_else(
    engine: ParrotEngine, tmp_path: Path
) -> None:
    folder = tmp_path / "audit"
    ann, reader = issue(engine.store, "ann", tenant="acme"), issue(engine.store, "rob", ("read",))
    audit = AuditConfig(folder=folder)
    config = GatewayConfig(address="127.0.0.1:0", audit=audit, grace_s=0)
    async with running(config, engine) as port:
        address = f"127.0.0.1:{port}"
        async with AsyncClient(address, token=ann) as client:
            await client.create_stream("photos", description=SECRET.decode())
            await client.append("photos", [Sample("s", (Part("text", SECRET),))])
            assert [sample async for sample in client.read("photos")]
            await client.finalize_stream("photos")
        async with AsyncClient(address, token=reader) as client:
            with pytest.raises(Forbidden):
                await client.delete_stream("photos")
        async with AsyncClient(address, token="made up") as client:  # noqa: S106
            with pytest.raises(Denied):
                await client.get_stream("photos")
    found = list(deeds(folder))
    assert sorted(map(told, found)) == [
        ("ann", "acme", "AppendSamples", "streams/photos", "OK"),
        ("ann", "acme", "CreateStream", "photos", "OK"),
        ("ann", "acme", "FinalizeStream", "streams/photos", "OK"),
        ("anyone", "", "GetStream", "", "UNAUTHENTICATED"),
        ("rob", "", "DeleteStream", "", "PERMISSION_DENIED"),
    ]
    assert [deed["time"] for deed in found] == sorted(deed["time"] for deed in found)
    assert all(deed["peer"].startswith("ipv4:127.0.0.1") for deed in found)
    everything = b"".join(path.read_bytes() for path in folder.iterdir())
    for secret in (SECRET, ann.encode(), reader.encode(), b"made up"):
        assert secret not in everything
    assert {path.stat().st_mode & 0o777 for path in folder.iterdir()} == {0o600}


async def test_a_deed_is_written_once_though_the_end_comes_while_it_is_written(
    tmp_path: Path,
) -> None:
    for turn in range(60):
        audit = Audit(AuditConfig(folder=tmp_path))
        async with audit.writing():
            for number in range(20):
                audit.note(Deed("ann", "", "M", f"{turn}-{number}", "OK"), denied=False)
            await asyncio.sleep(0.0002 * (turn % 4))
    found = [deed["about"] for deed in deeds(tmp_path)]
    assert sorted(found) == sorted(f"{turn}-{number}" for turn in range(60) for number in range(20))


@given(about=st.text(max_size=300))
def test_what_is_no_name_is_not_told(about: str) -> None:
    line = json.loads(Deed("c", "", "m", about, "OK").line())
    assert line["about"] in (about, "?")
    assert line["about"].isascii()
    assert len(line["about"]) <= 200


async def test_denials_are_bounded_by_day_and_changes_are_not(tmp_path: Path) -> None:
    audit = Audit(AuditConfig(folder=tmp_path, denial_bytes_max=1024))
    async with audit.writing():
        for _round in range(3):
            for _ in range(50):
                audit.note(Deed("c", "", "m", "a", "PERMISSION_DENIED"), denied=True)
                audit.note(Deed("c", "", "m", "a", "OK"), denied=False)
            audit._write(tmp_path)
    kinds = [deed["code"] for deed in deeds(tmp_path)]
    assert kinds.count("OK") == 150
    assert kinds.count("PERMISSION_DENIED") == 50


def test_days_that_are_long_ago_go_and_other_files_stay(tmp_path: Path) -> None:
    for days in (0, 5, 50):
        day = (datetime.now(UTC) - timedelta(days=days)).isoformat()
        write_down(tmp_path, CHANGES, [Deed("c", "", "m", str(days), "OK", time=day)])
    (tmp_path / "notes.jsonl").touch()
    forget(tmp_path, days_max=10)
    assert [deed["about"] for deed in deeds(tmp_path)] == ["5", "0"]
    assert (tmp_path / "notes.jsonl").exists()


def test_a_line_that_a_crash_cut_short_hides_no_other(tmp_path: Path) -> None:
    write_down(tmp_path, DENIALS, [Deed("a", "", "m", "", "OK")])
    (path,) = tmp_path.iterdir()
    with path.open("ab") as file:
        file.write(b'{"time": "2026-')
    assert [deed["caller"] for deed in deeds(tmp_path)] == ["a"]


def run(folder: Path, *arguments: str) -> Any:
    around = {"RANKSPACE_STORE__FOLDER": str(folder)}
    return CliRunner().invoke(app, arguments, env=around, prog_name="rankspace")


def test_tokens_are_made_listed_and_revoked_on_the_command_line(tmp_path: Path) -> None:
    made = run(tmp_path, "tokens", "create", "ann", "--scope", "read, ingest", "--expires", "30d")
    secret = made.stdout.strip()
    assert secret.startswith("rank_")
    assert made.stderr == ""
    again = run(tmp_path, "tokens", "create", "ann", "--scope", "read")
    assert (again.exit_code, "take another name" in again.stderr) == (1, True)
    (line,) = map(json.loads, run(tmp_path, "tokens", "list", "--json").stdout.splitlines())
    assert (line["scopes"], line["revoked_us"]) == (["read", "ingest"], None)
    assert line["expires_us"] - line["created_us"] == 30 * 86400 * 1_000_000
    assert run(tmp_path, "tokens", "revoke", "ann").exit_code == 0
    assert run(tmp_path, "tokens", "revoke", "bob").exit_code == 1
    with Store.open(StoreConfig(folder=tmp_path)) as store:
        (kept,) = store.access.list()
    assert kept.revoked_us is not None
    audited = run(tmp_path, "audit", "--since", "1h", "--json").stdout
    methods = [json.loads(line)["method"] for line in audited.splitlines()]
    assert methods == ["tokens create", "tokens revoke"]
    assert run(tmp_path, "audit", "--since", "2999-01-01", "--json").stdout == ""
    for path in tmp_path.rglob("*"):
        assert path.is_dir() or secret.encode() not in path.read_bytes()


def test_tokens_of_a_server_with_a_folder_of_its_own_are_reached_by_it(tmp_path: Path) -> None:
    there = ("--folder", str(tmp_path / "there"))
    for arguments in (("create", "ann", "--scope", "read"), ("revoke", "ann")):
        assert run(tmp_path / "here", "tokens", *arguments, *there).exit_code == 0
    (line,) = map(json.loads, run(tmp_path, "tokens", "list", "--json", *there).stdout.splitlines())
    assert (line["name"], line["revoked_us"] is None) == ("ann", False)
    assert len(run(tmp_path, "audit", "--json", *there).stdout.splitlines()) == 2
    assert not (tmp_path / "here").exists()


@pytest.mark.parametrize(
    "arguments",
    [
        ("tokens", "create", "a", "--scope", "reed"),
        ("tokens", "create", "a", "--scope", ","),
        ("tokens", "create", "a", "--scope", "read", "--expires", "3w"),
        ("tokens", "create", "a", "--scope", "read", "--expires", "0d"),
        ("tokens", "create", "a", "--scope", "read", "--tenant", "no/slash"),
        ("audit", "--since", "yesterday"),
    ],
)
def test_what_cannot_be_is_said(tmp_path: Path, arguments: tuple[str, ...]) -> None:
    result = run(tmp_path, *arguments)
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr.startswith("rankspace: ")

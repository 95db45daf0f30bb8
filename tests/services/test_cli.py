"""The command line: quick to start, honest in its exit codes, data kept apart from words."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner, Result

from rankspace.config import Config
from services.cli.app import app
from services.cli.output import parsed
from services.cli.settings import toml
from services.config import ServerConfig, server_config

NOBODY = "127.0.0.1:1"
COMMANDS = ("serve", "ingest", "train", "generate", "models", "streams", "jobs", "demo", "config")


def run(*arguments: str, **environment: str) -> Result:
    return CliRunner().invoke(app, arguments, env=environment, prog_name="rankspace")


def in_a_fresh_process(code: str, **environment: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", code],
        check=True,
        capture_output=True,
        text=True,
        env=os.environ | environment,
    )
    return done.stdout


def test_nothing_heavy_is_imported_before_a_command_runs() -> None:
    heavy = "{'torch', 'ray', 'grpc', 'numpy', 'pydantic', 'sqlalchemy', 'asyncio', 'rankspace.v1'}"
    code = f"import sys, services.cli; print(*sorted({heavy} & set(sys.modules)))"
    assert in_a_fresh_process(code) == "\n"


@pytest.mark.parametrize("command", [(), *((name,) for name in COMMANDS)])
def test_every_command_explains_itself(command: tuple[str, ...]) -> None:
    result = run(*command, "--help")
    assert result.exit_code == 0
    assert "Usage: rankspace" in result.stdout


def test_the_version_is_data() -> None:
    result = run("--version")
    assert (result.exit_code, result.stdout) == (0, "0.1.0\n")


def test_the_shell_is_told_how_to_complete() -> None:
    asked = {
        "_RANKSPACE_COMPLETE": "complete_bash",
        "COMP_WORDS": "rankspace in",
        "COMP_CWORD": "1",
    }
    code = "import sys; sys.argv = ['rankspace']; from services.cli import main; main()"
    assert in_a_fresh_process(code, **asked).strip() == "ingest"


@pytest.mark.parametrize(
    "arguments",
    [
        ["streams", "list"],
        ["streams", "show", "s"],
        ["jobs", "list"],
        ["models", "list"],
        ["models", "promote", "default", "photos@1"],
        ["generate", "a text", "--to", "text:ru"],
    ],
)
def test_an_absent_server_ends_in_one_line_that_says_what_to_do(arguments: list[str]) -> None:
    result = run(*arguments, "--server", NOBODY)
    assert result.exit_code == 1
    assert result.stdout == ""
    assert result.stderr == (
        f"rankspace: no server answers at {NOBODY}: connection refused; "
        "start one with `rankspace serve`, name it with --server, "
        "or give --ca where it speaks TLS\n"
    )


def test_with_json_an_error_is_json_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["rankspace", "streams", "list", "--json"])
    result = run("streams", "list", "--json", RANKSPACE_SERVER=NOBODY)
    assert result.exit_code == 1
    assert json.loads(result.stderr)["error"]["reason"] == "UNREACHABLE"


@pytest.mark.parametrize(
    "arguments",
    [
        ["sing"],
        ["ingest", "--stream", "s"],
        ["ingest", "x", "--stream", "s", "--offset", "-1"],
        ["streams", "read", "s", "--limit", "many"],
    ],
)
def test_wrong_usage_ends_with_status_2(arguments: list[str]) -> None:
    assert run(*arguments).exit_code == 2


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["train", "s", "--set", "steps"], "--set steps: write it NAME=VALUE"),
        (["train", "s", "--set", "steps=many"], "steps: input should be a valid integer"),
        (["train", "s", "-s", "stepz=1"], "stepz: extra inputs are not permitted"),
        (["generate", "gone.png"], "there is no file gone.png; give a file or a text"),
        (["generate", "hi", "--to", "smell"], "modality: input should be 'text', 'audio', 'image'"),
        (["generate", "hi", "-s", "beta=0"], "beta: input should be greater than 0"),
        (["config", "-c", "gone.toml"], "cannot read the config file gone.toml"),
        (["config"], "gateway.colour: extra inputs are not permitted"),
    ],
)
def test_what_cannot_work_is_refused_before_any_server_is_asked(
    arguments: list[str], complaint: str
) -> None:
    environment = {"RANKSPACE_GATEWAY__COLOUR": "red"} if arguments == ["config"] else {}
    result = run(*arguments, RANKSPACE_SERVER=NOBODY, **environment)
    assert result.exit_code == 1
    assert complaint in result.stderr
    assert result.stderr.count("\n") == 1


@given(
    st.dictionaries(
        st.text("abc_", min_size=1),
        st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    )
)
def test_settings_say_what_json_says(values: dict[str, object]) -> None:
    assert parsed([f"{name}={json.dumps(value)}" for name, value in values.items()]) == values


def test_settings_that_are_no_json_are_words() -> None:
    assert parsed(["size=tiny", "steps=300", "a=b=c"]) == {"size": "tiny", "steps": 300, "a": "b=c"}


def test_the_settings_shown_read_back_as_they_are(tmp_path: Path) -> None:
    file = tmp_path / "server.toml"
    file.write_text('[gateway]\naddress = "127.0.0.1:7"\n[store]\nfolder = "/data/rank \\"x\\""\n')
    shown = run("config", "--show", "--config", str(file), RANKSPACE_GATEWAY__CALLS_MAX="64").stdout
    assert 'address = "127.0.0.1:7"  # from the file' in shown
    assert "calls_max = 64  # from RANKSPACE_GATEWAY__CALLS_MAX" in shown
    assert "steps = 600" in shown, "what jobs may set is listed too"
    again = tmp_path / "again.toml"
    again.write_text(shown, "utf-8")
    wanted = server_config(file, {"RANKSPACE_GATEWAY__CALLS_MAX": "64"})
    assert server_config(again, {}) == wanted


@pytest.mark.parametrize("how", ["--show", "--json"])
def test_a_password_among_the_settings_is_not_shown(how: str) -> None:
    secrets = {
        "RANKSPACE_STORE__URL": "postgresql://ann:hush-hush@db.example:5432/rank",
        "RANKSPACE_GATEWAY__TELEMETRY__OTLP_ENDPOINT": "http://me:hush-hush@collector.example:4317",
    }
    result = run("config", how, **secrets)
    assert result.exit_code == 0
    assert "hush-hush" not in result.output
    assert "postgresql://ann:***@db.example:5432/rank" in result.stdout
    assert "http://me:***@collector.example:4317" in result.stdout


def test_every_setting_is_shown_with_its_sentence() -> None:
    def names(kind: type[Config]) -> set[str]:
        inner = [field.annotation for field in kind.model_fields.values()]
        nested = [
            names(found) for found in inner if isinstance(found, type) and issubclass(found, Config)
        ]
        return set(kind.model_fields).union(*nested)

    shown = "\n".join(toml(ServerConfig(), lambda _path, _set: ""))
    for name in names(ServerConfig):
        assert f"{name} =" in shown or f"[{name}" in shown or f".{name}]" in shown, name

"""Credentials: options over the environment over a file; what cannot be is said, never ignored."""

from pathlib import Path

import pytest

from rankspace.client.connection import Tls
from rankspace.client.credentials import Credentials, credentials
from rankspace.errors import InvalidConfig


@pytest.fixture
def files(tmp_path: Path) -> Path:
    for name in ("ca", "certificate", "key"):
        (tmp_path / name).write_text(f"the {name}", "utf-8")
    (tmp_path / "token").write_text("of the file\n", "utf-8")
    return tmp_path


def test_options_go_before_the_environment_and_that_before_the_file(files: Path) -> None:
    settings = files / "client.toml"
    settings.write_text(f'token = "filed"\nca = "{files / "ca"}"\n', "utf-8")
    around = {"RANKSPACE_CLIENT": str(settings)}
    assert credentials({}, around).secret() == "filed"
    around["RANKSPACE_TOKEN"] = "around"  # noqa: S105
    assert credentials({"token": None, "key": ""}, around).secret() == "around"
    found = credentials({"token": "given"}, around)
    assert found.secret() == "given"
    assert found.tls() == Tls(roots=b"the ca")


def test_the_file_in_the_user_s_folder_is_read_if_it_is_there(files: Path) -> None:
    around = {"XDG_CONFIG_HOME": str(files)}
    assert credentials({}, around) == Credentials()
    (files / "rankspace").mkdir()
    (files / "rankspace" / "client.toml").write_text('token = "mine"', "utf-8")
    assert credentials({}, around).secret() == "mine"


def test_a_token_in_a_file_and_a_pair_of_keys_are_read(files: Path) -> None:
    around = {
        f"RANKSPACE_{name.upper()}": str(files / name) for name in ("certificate", "key", "ca")
    } | {"RANKSPACE_TOKEN_FILE": str(files / "token"), "XDG_CONFIG_HOME": str(files)}
    found = credentials({}, around)
    assert found.secret() == "of the file"
    assert found.tls() == Tls(b"the ca", b"the certificate", b"the key")
    assert credentials({}, {"XDG_CONFIG_HOME": str(files)}).tls() is None


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"certificate": "certificate"}, "belong together"),
        ({"ca": "gone"}, "ca: cannot read it: No such file"),
        ({"token_file": "gone"}, "token_file: cannot read it"),
        ({"token_file": "empty"}, "holds no token"),
    ],
)
def test_what_cannot_be_is_said(files: Path, options: dict[str, str], said: str) -> None:
    (files / "empty").touch()
    given = {name: files / value for name, value in options.items()}
    found = credentials(given, {"XDG_CONFIG_HOME": str(files)})
    with pytest.raises(InvalidConfig, match=said):
        list(map(str, (found.secret(), found.tls())))


def test_a_setting_that_does_not_exist_is_named(files: Path) -> None:
    (files / "client.toml").write_text('colour = "red"', "utf-8")
    with pytest.raises(InvalidConfig, match="colour"):
        credentials({}, {"RANKSPACE_CLIENT": str(files / "client.toml")})

"""The server's config: defaults, one file, the environment over it, and errors by name."""

from pathlib import Path

import pytest

from rankspace.errors import InvalidConfig
from services.config import server_config


def test_defaults_need_nothing() -> None:
    config = server_config(environment={"RANKSPACE_ADDRESS": "the client's"})
    assert config.gateway.address.startswith("127.0.0.1:")
    assert config.store.folder.name == "rankspace"


def test_the_environment_overlays_the_file(tmp_path: Path) -> None:
    file = tmp_path / "rankspace.toml"
    file.write_text('[gateway]\naddress = "127.0.0.1:7000"\ncalls_max = 3\n')
    config = server_config(
        file,
        {
            "RANKSPACE_GATEWAY__CALLS_MAX": "9",
            "RANKSPACE_GATEWAY__INGESTION__LIMITS__LABELS_MAX": "2",
            "RANKSPACE_STORE__FOLDER": str(tmp_path),
        },
    )
    assert (config.gateway.address, config.gateway.calls_max) == ("127.0.0.1:7000", 9)
    assert config.gateway.ingestion.limits.labels_max == 2
    assert config.store.folder == tmp_path


@pytest.mark.parametrize(
    ("name", "value", "field"),
    [
        ("RANKSPACE_GATEWAY__CALLS_MAX", "many", "gateway.calls_max"),
        ("RANKSPACE_GATEWAY__CALL_MAX", "3", "gateway.call_max"),
        ("RANKSPACE_STORE__FOLDER", "3", "store.folder"),
    ],
)
def test_a_wrong_setting_is_named(name: str, value: str, field: str) -> None:
    with pytest.raises(InvalidConfig) as caught:
        server_config(environment={name: value})
    assert caught.value.field == field


def test_a_setting_inside_a_plain_one_is_refused() -> None:
    environment = {
        "RANKSPACE_GATEWAY__ADDRESS": "127.0.0.1:0",
        "RANKSPACE_GATEWAY__ADDRESS__PORT": "3",
    }
    with pytest.raises(InvalidConfig, match="which has none"):
        server_config(environment=environment)


def test_a_file_that_is_not_toml_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.toml").write_text("not toml")
    with pytest.raises(InvalidConfig, match=r"a\.toml is not TOML"):
        server_config(tmp_path / "a.toml", {})

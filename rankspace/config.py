"""What every setting shares: frozen, strict, no unknown names, errors that name the field."""

import json
import tomllib
from pathlib import Path
from typing import TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from rankspace.errors import InvalidConfig

Kind = TypeVar("Kind", bound="Config")


class Config(BaseModel):
    """Base of all configs. Subclass it beside what it configures; a sentence under every field."""

    model_config = ConfigDict(
        frozen=True, strict=True, extra="forbid", use_attribute_docstrings=True
    )


def parse(kind: type[Kind], values: object, path: str = "") -> Kind:
    """A config of this kind from plain values, as JSON or TOML would give them.

    Raises InvalidConfig naming the first field at fault, behind the path where the values stood.
    """
    try:
        # Through JSON, so that strictness means "as JSON means it": a list may fill a tuple.
        return kind.model_validate_json(json.dumps(values))
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(str(part) for part in (*filter(None, [path]), *first["loc"]))
        raise InvalidConfig(f"{field or kind.__name__}: {first['msg'].lower()}", field) from error


def read(path: Path) -> dict[str, object]:
    """The plain values of a TOML file. Raises InvalidConfig if it cannot be read."""
    try:
        return tomllib.loads(path.read_text("utf-8"))
    except OSError as error:
        raise InvalidConfig(f"cannot read the config file {path.name}: {error.strerror}") from error
    except ValueError as error:  # not TOML, or not UTF-8
        raise InvalidConfig(f"{path.name} is not TOML: {error}") from error


def load(kind: type[Kind], path: Path) -> Kind:
    """The config written in a TOML file. Raises InvalidConfig if it cannot be read."""
    return parse(kind, read(path))

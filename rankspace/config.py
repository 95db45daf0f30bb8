"""What every setting shares: frozen, strict, no unknown names, errors that name the field.

A setting may be an address with a password in it. Nothing that is shown, logged or raised has it.
"""

import json
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from rankspace.errors import InvalidConfig

Kind = TypeVar("Kind", bound="Config")

HIDDEN = "***"
"""Stands for a password that is not shown."""

_USER_INFO = re.compile(r"(?<=://)([^:/@]*):.*@", re.DOTALL)  # to the last @: passwords have some
_QUERY = re.compile(r"(?<=[?&])([^=&]*(?:password|secret|token)[^=&]*)=[^&]*", re.IGNORECASE)


class Config(BaseModel):
    """Base of all configs. Subclass it beside what it configures; a sentence under every field."""

    model_config = ConfigDict(
        frozen=True,
        strict=True,
        extra="forbid",
        use_attribute_docstrings=True,
        hide_input_in_errors=True,
    )

    def __repr_args__(self) -> Iterator[tuple[str | None, Any]]:
        """The settings as `repr` shows them."""
        for name, value in super().__repr_args__():
            yield name, masked(value) if isinstance(value, str) else value


def masked(text: str) -> str:
    """The same without the passwords of an address, for whoever may look on."""
    return _QUERY.sub(rf"\1={HIDDEN}", _USER_INFO.sub(rf"\1:{HIDDEN}@", text))


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


def content(path: Path, field: str) -> bytes:
    """What is in a file that a setting names. Raises InvalidConfig if it cannot be read."""
    try:
        return path.read_bytes()
    except OSError as error:
        raise InvalidConfig(f"{field}: cannot read it: {error.strerror}", field) from error


def load(kind: type[Kind], path: Path) -> Kind:
    """The config written in a TOML file. Raises InvalidConfig if it cannot be read."""
    return parse(kind, read(path))

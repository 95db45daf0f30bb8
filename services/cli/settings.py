"""Configs as TOML that explains itself: each setting with its sentence, value and origin.

What is printed can be saved and given back: it reads as the config it came from, but for passwords
in addresses, which are not printed.
"""

import json
import textwrap
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from rankspace.config import Config, masked

Origin = Callable[[Sequence[str], bool], str]
"""Where the setting at a path came from; told whether it was set at all."""


def toml(config: Config, origin: Origin, path: tuple[str, ...] = ()) -> Iterator[str]:
    """The lines of a config: plain settings first, then a table for each config inside it."""
    inner = []
    for name, field in type(config).model_fields.items():
        value = getattr(config, name)
        if isinstance(value, Config):
            inner.append((name, value, field.description))
            continue
        yield from textwrap.wrap(
            " ".join((field.description or "").split()),
            width=96,
            initial_indent="# ",
            subsequent_indent="# ",
        )
        came = origin((*path, name), name in config.model_fields_set)
        written = f"# {name} =" if value is None else f"{name} = {_value(value)}"
        yield f"{written}{f'  # {came}' if came else ''}"
    for name, value, description in inner:
        yield ""
        yield f"[{'.'.join((*path, name))}]  # {description or ''}".rstrip(" #")
        yield from toml(value, origin, (*path, name))


def listed(config: Config, command: str) -> Iterator[str]:
    """The settings of a command, as comments."""
    yield f"# {command}"
    for name, field in type(config).model_fields.items():
        value = getattr(config, name)
        description = " ".join((field.description or "").split())
        yield f"#   {name} = {'unset' if value is None else _value(value)}  {description}"


def hidden(value: Any) -> Any:
    """Plain values without the passwords of addresses."""
    if isinstance(value, dict):
        return {name: hidden(item) for name, item in value.items()}
    if isinstance(value, list):
        return [hidden(item) for item in value]
    return masked(value) if isinstance(value, str) else value


def _value(value: Any) -> str:
    if isinstance(value, Config):
        items = value.model_dump(exclude_none=True).items()
        return "{ " + ", ".join(f"{key} = {_value(item)}" for key, item in items) + " }"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(_value, value)) + "]"
    return json.dumps(hidden(str(value) if isinstance(value, Path) else value), ensure_ascii=False)

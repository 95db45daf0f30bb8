"""Resource names of the wire ("streams/photos") and the plain names of the library ("photos")."""

import re
from typing import Protocol, runtime_checkable

from rankspace.errors import InvalidInput

PAGE_MAX = 1000
PAGE_DEFAULT = 100
_ID = r"[a-z0-9][a-z0-9._-]{0,62}"
_VERSION = re.compile(rf"models/({_ID})/versions/([1-9][0-9]{{0,17}})")


@runtime_checkable
class PageRequest(Protocol):
    """A request for one page of a list."""

    @property
    def page_size(self) -> int:
        """Items on it."""

    @property
    def page_token(self) -> str:
        """Where it begins."""


def read_name(collection: str, name: str, field: str = "name") -> str:
    """The id of "{collection}/{id}"."""
    match = re.fullmatch(rf"{collection}/({_ID})", name)
    if match is None:
        raise InvalidInput(
            f'{field} is written "{collection}/{{id}}", the id of 1 to 63 of a-z 0-9 . _ -, '
            "a letter or digit first",
            field,
        )
    return match[1]


def read_reference(name: str, field: str = "name") -> str:
    """What the library calls "models/m/versions/3" (m@3), "models/m" (m) or "aliases/a" (a)."""
    if match := _VERSION.fullmatch(name):
        return f"{match[1]}@{match[2]}"
    return read_name("aliases" if name.startswith("aliases/") else "models", name, field)


def write_reference(reference: str) -> str:
    """The resource name of a version that the library calls name@version; "" stays ""."""
    name, _, version = reference.partition("@")
    return f"models/{name}/versions/{version}" if version else ""


def read_version(name: str, field: str = "model_version") -> str:
    """What the library calls "models/m/versions/3": m@3; "" stays ""."""
    if name and not _VERSION.fullmatch(name):
        raise InvalidInput(f'{field} is written "models/{{model}}/versions/{{number}}"', field)
    return read_reference(name, field) if name else ""


def read_page(request: PageRequest) -> tuple[int, str]:
    """Size and token of a page."""
    if request.page_size < 0:
        raise InvalidInput("page_size is 0 (the server's choice) or more", "page_size")
    return min(request.page_size or PAGE_DEFAULT, PAGE_MAX), request.page_token

"""Whose a name is: `tenant/name` is a tenant's, a plain name belongs to no tenant.

The prefix is part of the name everywhere below the services, so that what belongs to one tenant is
stored, trained and registered apart from what belongs to another. No plain name holds a "/".
"""

import re

from sqlalchemy import ColumnElement, not_

TENANT = re.compile(r"[a-z0-9][a-z0-9-]{0,30}")
"""What a tenant may be called."""

OWNED = rf"(?:{TENANT.pattern}/)?"
"""Begins the pattern of every name that may be a tenant's."""


def owned(column: ColumnElement[str], tenant: str | None) -> ColumnElement[bool]:
    """Whether a name is of this tenant; "" is no tenant, None any."""
    if tenant is None:
        return column.is_not(None)
    if tenant:
        return column.startswith(f"{tenant}/", autoescape=True)
    return not_(column.contains("/", autoescape=True))


def folder_name(name: str) -> str:
    """The name as one folder: a tenant's must not lie inside another's."""
    return name.replace("/", "~")

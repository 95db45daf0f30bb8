"""The site of the SDK's tests: a server that stops and starts again on the same store."""

from tests.client.conftest import client, site

__all__ = ["client", "site"]

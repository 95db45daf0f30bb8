"""The asynchronous client: the calls of every service on one connection."""

from types import TracebackType

from rankspace.client.connection import Connection, Tls
from rankspace.client.generation import Generation
from rankspace.client.ingestion import Ingestion
from rankspace.client.models import Models
from rankspace.client.training import Training


class AsyncClient(Ingestion, Training, Models, Generation):
    """A client to await. It belongs to the event loop that first uses it."""

    def __init__(
        self,
        target: str,
        *,
        token: str | None = None,
        tls: Tls | bool | None = None,
        timeout_s: float = 30.0,
        patience_s: float = 60.0,
    ) -> None:
        """Name the server as "host:port"; for the rest see `Connection`."""
        self._connection = Connection(
            target, token=token, tls=tls, timeout_s=timeout_s, patience_s=patience_s
        )

    async def __aenter__(self) -> "AsyncClient":
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """End all calls and the connection."""
        await self._connection.close()

"""Models and aliases, as the caller of each call may see them."""

from rankspace.store.entries import Alias, ModelVersion, Page
from services.engine import Engine
from services.tenancy.names import own_names


class TenantModels:
    """See `services.engine.Models`."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    async def models(self, size: int, token: str) -> Page[ModelVersion]:
        with own_names() as own:
            page = await own.page(self._engine.models, size, token)
            return Page(tuple(map(own.model, page.items)), page.next_token)

    async def versions(self, name: str, size: int, token: str) -> Page[ModelVersion]:
        with own_names() as own:
            page = await self._engine.versions(own.full(name, "parent"), size, token)
            return Page(tuple(map(own.model, page.items)), page.next_token)

    async def model(self, reference: str) -> ModelVersion:
        with own_names() as own:
            return own.model(await self._engine.model(own.full(reference)))

    async def aliases(self, size: int, token: str) -> Page[Alias]:
        with own_names() as own:
            page = await own.page(self._engine.aliases, size, token)
            return Page(tuple(map(own.alias, page.items)), page.next_token)

    async def alias(self, alias: str) -> Alias:
        with own_names() as own:
            return own.alias(await self._engine.alias(own.full(alias)))

    async def promote(self, alias: str, reference: str) -> Alias:
        with own_names() as own:
            version = own.full(reference, "model_version")
            return own.alias(await self._engine.promote(own.full(alias), version))

    async def roll_back(self, alias: str) -> Alias:
        with own_names() as own:
            return own.alias(await self._engine.roll_back(own.full(alias)))

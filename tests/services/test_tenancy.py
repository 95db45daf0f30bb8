"""Two tenants on one server: through every method, neither sees anything of the other's."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rankspace.client import AsyncClient
from rankspace.errors import AlreadyExists, InvalidInput, NotFound
from rankspace.media.sample import Part, Sample
from rankspace.store.entries import Job
from rankspace.training.job import JobConfig
from services.auth import RULES
from services.gateway.config import GatewayConfig
from services.gateway.server import running
from services.tenancy.names import Names
from tests.services.every_call import ELSEWHERE, LISTS, NOBODYS, Owned, ask, requests
from tests.services.holders import dial, issue
from tests.services.parrot import ParrotEngine

SECRET = b"what acme alone may know"
names = st.text("abc-", min_size=1, max_size=8).map(lambda text: f"x{text}")
tenants = st.sampled_from(["", "acme", "a", "acme-2"])


class ModelParrot(ParrotEngine):
    """A parrot that looks for the model it is asked for, as a real engine does."""

    async def open(self, config: Any) -> Any:
        await self.model(config.model)
        return await super().open(config)

    async def embed(self, model: str, parts: Any) -> Any:
        await self.model(model)
        return await super().embed(model, parts)

    async def score(self, model: str, parts: Any) -> Any:
        await self.model(model)
        return await super().score(model, parts)

    async def create_job(self, config: JobConfig, request_id: str) -> Job:
        for stream in config.streams:
            await self.stream(stream)
        return await super().create_job(config, request_id)


@dataclass
class Site:
    """A server with two tenants and one caller of none."""

    engine: ModelParrot
    port: int
    channel: grpc.aio.Channel
    tokens: dict[str, str]

    def client(self, tenant: str) -> AsyncClient:
        return AsyncClient(f"127.0.0.1:{self.port}", token=self.tokens[tenant])


@pytest.fixture
async def site(engine: ParrotEngine) -> AsyncIterator[Site]:
    parrot = ModelParrot(engine.store)
    tokens = {name: issue(engine.store, f"of {name}", tenant=name) for name in ("acme", "bolt", "")}
    config = GatewayConfig(address="127.0.0.1:0", grace_s=0)
    async with running(config, parrot) as port, dial(port) as channel:
        yield Site(parrot, port, channel, tokens)


async def furnish(site: Site, tmp_path: Path, tenant: str, name: str, text: bytes) -> Owned:
    """A stream with a sample and a refused one, a model, an alias and a job of a tenant."""
    folder = tmp_path / "model"
    folder.mkdir(exist_ok=True)
    (folder / "weights").write_bytes(text)
    full = f"{tenant}/{name}" if tenant else name
    site.engine.store.catalogue.models.register(full, folder, {"snapshot": {"stream": full}})
    async with site.client(tenant) as client:
        await client.create_stream(name, labels={"rejects": "keep"})
        bad = Sample("bad", (Part("image", text),))
        await client.append(name, [Sample("good", (Part("text", text),)), bad])
        await client.promote_alias(f"{name}-alias", f"{name}@1")
        job = await client.create_job(JobConfig(streams=(name,), model=name), request_id=name)
    return Owned(name, name, f"{name}-alias", job.job_id)


def test_every_method_is_asked() -> None:
    asked = {
        type(message).__name__.removesuffix("Request")
        for found in (requests(NOBODYS), LISTS)
        for messages in found.values()
        for message in messages
    }
    assert asked | ELSEWHERE == {path.rpartition("/")[2] for path in RULES}


@pytest.mark.parametrize(("owner", "stranger"), [("acme", "bolt"), ("acme", ""), ("", "acme")])
async def test_what_is_another_s_is_answered_like_what_is_not_there(
    site: Site, tmp_path: Path, owner: str, stranger: str
) -> None:
    own = await furnish(site, tmp_path, owner, "photos", SECRET)
    token = site.tokens[stranger]
    for service, theirs in requests(own).items():
        for message, absent in zip(theirs, requests(NOBODYS)[service], strict=True):
            told = await ask(site.channel, service, message, token)
            expected = await ask(site.channel, service, absent, token)
            assert plain(told, own) == plain(expected, NOBODYS)
            assert told[1] != grpc.StatusCode.OK
    async with site.client(owner) as client:
        stream = await client.get_stream("photos")
        assert (stream.next_offset, stream.finalized, stream.description) == (2, False, "")
        assert (await client.get_job(own.job)).wish == "run"


def plain(told: tuple[object, ...], own: Owned) -> tuple[object, ...]:
    """The same, without the names that were asked about."""
    text = str(told[4])
    for name in (own.job, own.alias, own.model, own.stream):
        text = text.replace(name, "…")
    return (*told[:4], text, told[5])


async def test_lists_hold_one_s_own_and_nothing_tells_of_the_other(
    site: Site, tmp_path: Path
) -> None:
    owned = {
        tenant: await furnish(site, tmp_path, tenant, name, text)
        for tenant, name, text in (
            ("acme", "photos", SECRET),
            ("bolt", "plans", b"of bolt"),
            ("", "common", b"of none"),
        )
    }
    for tenant, token in site.tokens.items():
        answers = b""
        for found in (LISTS, requests(owned[tenant])):
            for service, messages in found.items():
                for message in messages:
                    kind = type(message).__name__
                    if kind.startswith(("Watch", "Delete")) or getattr(message, "follow", False):
                        continue  # would wait for news, or end it
                    _, code, *_, answer = await ask(site.channel, service, message, token)
                    assert code != grpc.StatusCode.NOT_FOUND, kind
                    answers += bytes(answer)  # type: ignore[call-overload]
        for other, names in owned.items():
            mine = other == tenant
            assert (names.stream.encode() in answers) == mine
            assert (names.job.encode() in answers) == mine
        assert (SECRET in answers) == (tenant == "acme")
        assert not any(f"{name}/".encode() in answers for name in ("acme", "bolt"))


async def test_the_same_names_of_two_tenants_are_two_things(site: Site, tmp_path: Path) -> None:
    jobs = [
        (await furnish(site, tmp_path, tenant, "same", text)).job
        for tenant, text in (("acme", b"a"), ("bolt", b"b"), ("", b"c"))
    ]
    assert len(set(jobs)) == 3
    for tenant, text in (("acme", b"a"), ("bolt", b"b"), ("", b"c")):
        async with site.client(tenant) as client:
            (entry,) = [sample async for _, sample in client.read("same")]
            assert entry.parts[0].data == text
            assert (await client.get_model_version("same")).reference == "same@1"
            assert [alias.alias async for alias in client.list_aliases()] == ["same-alias"]
            (job,) = [job async for job in client.list_jobs()]
            assert (job.request_id, tuple(job.config["streams"])) == ("same", ("same",))
            with pytest.raises(AlreadyExists, match="request same was made before"):
                await client.create_job(JobConfig(streams=("same",), steps=7), request_id="same")


async def test_nobody_reaches_another_tenant_by_a_name_with_a_slash(
    site: Site, tmp_path: Path
) -> None:
    await furnish(site, tmp_path, "acme", "photos", SECRET)
    for tenant in ("bolt", ""):
        async with site.client(tenant) as client:
            for call in (
                client.create_stream("acme/mine"),
                client.create_job(JobConfig(streams=("acme/photos",))),
                client.create_job(JobConfig(streams=("never",), model="acme/photos")),
                client.create_job(JobConfig(streams=("never",), alias="acme/photos")),
                client.embed([Part("text", b"x")], model="acme/photos"),
            ):
                with pytest.raises((InvalidInput, NotFound)):
                    await call


async def test_a_job_knows_its_tenant_s_names_only(site: Site, tmp_path: Path) -> None:
    own = await furnish(site, tmp_path, "acme", "photos", SECRET)
    stored = await asyncio.to_thread(site.engine.store.catalogue.jobs.get, own.job)
    config = dict(stored.config)
    assert (config["streams"], config["model"]) == (["acme/photos"], "acme/photos")
    assert config["alias"] == "acme/default"
    JobConfig.model_validate_json(
        JobConfig(**{**config, "streams": ("acme/photos",)}).model_dump_json()
    )


@given(tenant=tenants, other=tenants, name=names)
def test_names_come_back_and_no_two_tenants_share_one(tenant: str, other: str, name: str) -> None:
    mine = Names(tenant).full(name)
    assert Names(tenant).plain(mine) == name
    assert (mine == Names(other).full(name)) == (tenant == other)


@given(tenant=tenants, other=tenants, request=st.text(min_size=1, max_size=20))
def test_request_ids_come_back_and_belong_to_one_tenant(
    tenant: str, other: str, request: str
) -> None:
    stored = Names(tenant).request(request)
    job = Job("job-1", stored, {}, "queued", "run", 0, 0, 0, None)
    assert Names(tenant).job(job).request_id == request
    if other != tenant:
        with pytest.raises(NotFound):
            Names(other).job(job)


def test_errors_and_events_are_told_in_the_tenant_s_names() -> None:
    told = Names("acme").plain(
        {"message": "acme/photos of acme/a and not-acme/b", "shares": {"acme/photos": 1.0}}
    )
    assert told == {"message": "photos of a and not-acme/b", "shares": {"photos": 1.0}}
    metrics = Names("acme").plain({"held_out_loss/acme/photos": 1.0, "seen/acme": 2.0})
    assert metrics == {"held_out_loss/photos": 1.0, "seen/acme": 2.0}

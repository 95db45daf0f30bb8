"""The table of permissions: it has every method, and nobody gets past it."""

from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2
from grpc_reflection.v1alpha import reflection_pb2

from rankspace.v1 import generation_pb2, ingestion_pb2, models_pb2, training_pb2
from services.auth import RULES, SCOPES, Scope
from services.gateway.config import GatewayConfig
from services.gateway.messages import named
from services.gateway.server import running
from tests.services.holders import bearing, dial, issue
from tests.services.parrot import ParrotEngine
from tests.services.refusal import refusal

FILES = (ingestion_pb2, training_pb2, generation_pb2, models_pb2, health_pb2, reflection_pb2)
METHODS = {
    f"/{service.full_name}/{method.name}": method
    for file in FILES
    for service in file.DESCRIPTOR.services_by_name.values()
    for method in service.methods
}


def test_every_method_of_every_service_has_its_row_and_every_row_a_method() -> None:
    assert METHODS.keys() == RULES.keys()


def test_only_health_is_for_strangers() -> None:
    open_to_all = {path for path, rule in RULES.items() if rule.everyone}
    assert open_to_all == {path for path in RULES if path.startswith("/grpc.health.v1.Health/")}


def test_every_scope_but_admin_opens_something_that_is_closed_to_the_others() -> None:
    for scope in set(SCOPES) - {"admin"}:
        assert any(rule.scopes == {scope} for rule in RULES.values())


@pytest.mark.parametrize("path", sorted(path for path, rule in RULES.items() if rule.about))
def test_the_field_that_names_what_a_call_is_about_exists(path: str) -> None:
    method = METHODS[path]
    found = []
    for kind in (method.input_type, method.output_type):
        *outer, last = RULES[path].about.split(".")
        for name in outer:
            field = kind.fields_by_name.get(name) if kind else None
            kind = field.message_type if field else None
        found.append(bool(kind and last in kind.fields_by_name))
    assert any(found)


def test_the_name_of_a_call_is_read_where_it_is_and_nowhere_else() -> None:
    setup = ingestion_pb2.AppendSamplesRequest()
    setup.setup.stream = "streams/a"
    assert named(setup, "setup.stream") == "streams/a"
    for path in ("", "setup", "setup.epoch", "setup.writer_epoch", "nothing.at.all"):
        assert named(setup, path) == ""


async def call(channel: grpc.aio.Channel, path: str, token: str) -> tuple[grpc.StatusCode, str]:
    """How a call with an empty message ends; the reason where it was refused."""
    method = METHODS[path]
    build: Any = {
        (False, False): channel.unary_unary,
        (False, True): channel.unary_stream,
        (True, False): channel.stream_unary,
        (True, True): channel.stream_stream,
    }[method.client_streaming, method.server_streaming]
    stub = build(path, request_serializer=bytes, response_deserializer=bytes)
    metadata = bearing(token) if token else ()
    if method.client_streaming:
        made = stub(iter(()), metadata=metadata, timeout=10)
    else:
        made = stub(b"", metadata=metadata, timeout=10)
    try:
        if method.server_streaming:
            await made.read()
        else:
            await made
    except grpc.aio.AioRpcError as error:
        return error.code(), error.details() or ""
    return grpc.StatusCode.OK, ""


DENIED = (grpc.StatusCode.UNAUTHENTICATED, grpc.StatusCode.PERMISSION_DENIED)


async def test_of_every_method_each_scope_may_what_the_table_says(engine: ParrotEngine) -> None:
    tokens: dict[Scope, str] = {scope: issue(engine.store, scope, (scope,)) for scope in SCOPES}
    async with (
        running(GatewayConfig(address="127.0.0.1:0", grace_s=0), engine) as port,
        dial(port) as channel,
    ):
        for path, rule in RULES.items():
            for scope, token in tokens.items():
                may = scope in rule.scopes or scope == "admin"
                code, said = await call(channel, path, token)
                assert (code not in DENIED) == may, (path, scope, said)
                assert may or f"{scope} may not make this call" in said
            if not rule.everyone:
                assert (await call(channel, path, ""))[0] == grpc.StatusCode.UNAUTHENTICATED


async def test_who_may_not_learns_nothing_of_what_there_is(engine: ParrotEngine) -> None:
    engine.store.log.create("there")
    token = issue(engine.store, "gen", ("generate",))
    async with (
        running(GatewayConfig(address="127.0.0.1:0", grace_s=0), engine) as port,
        dial(port) as channel,
    ):
        from rankspace.v1.ingestion_pb2_grpc import IngestionServiceStub

        stub: Any = IngestionServiceStub(channel)
        told = [
            await refusal(
                stub.GetStream(
                    ingestion_pb2.GetStreamRequest(name=f"streams/{name}"), metadata=bearing(token)
                )
            )
            for name in ("there", "absent")
        ]
    assert told[0] == told[1]
    assert told[0][:2] == (grpc.StatusCode.PERMISSION_DENIED, "FORBIDDEN")

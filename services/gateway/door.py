"""What every call meets, in this order: who asks, may they, is there room, the service, its end."""

import inspect
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import aclosing, asynccontextmanager
from typing import Any, TypeAlias
from urllib.parse import unquote

import grpc

from rankspace.errors import Overloaded
from services import telemetry
from services.audit import Audit, Deed
from services.auth import Guard, asks
from services.auth.guard import rule
from services.errors import reported
from services.gateway.calls import OpenCall, OpenCalls, current
from services.gateway.messages import Heard, named, reading
from services.quotas import Quotas
from services.telemetry import tracing

Context = grpc.aio.ServicerContext[Any, Any]
Handler: TypeAlias = "grpc.RpcMethodHandler[Any, Any]"  # generic for the type checker only
Maybe: TypeAlias = "grpc.RpcMethodHandler[Any, Any] | None"
DENIED = ("UNAUTHENTICATED", "PERMISSION_DENIED")


class Door(grpc.aio.ServerInterceptor):
    """What every call meets."""

    def __init__(
        self, guard: Guard, calls: OpenCalls, quotas: Quotas, audit: Audit, calls_max: int
    ) -> None:
        self._guard = guard
        self._calls = calls
        self._quotas = quotas
        self._audit = audit
        self._calls_max = calls_max
        self.readers: dict[str, Callable[[bytes], Any]] = {}
        """How messages of a method are read, where that is not protobuf's own way."""

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[Maybe]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> Maybe:
        handler = await continuation(handler_call_details)
        if handler is None:
            return None
        method = handler_call_details.method
        call = current(method, rule(method), handler.request_streaming, handler.response_streaming)
        self._calls.begin(call)
        read = self.readers.get(method, handler.request_deserializer)
        return _behind(handler, read, call, lambda context: self._entered(call, context))

    @asynccontextmanager
    async def _entered(self, call: OpenCall, context: Context) -> AsyncIterator[None]:
        sent: Any = context.invocation_metadata() or ()
        peer = unquote(context.peer())  # gRPC gives the brackets of IPv6 as %5B and %5D
        with (
            telemetry.call(call.method, peer) as line,
            tracing.call(call.method, sent) as span,
        ):
            try:
                async with reported(context):
                    with call.told():
                        call.caller = await self._who(call, context)
                        line |= {"who": call.caller.name, "tenant": call.caller.tenant}
                        self._guard.allow(call.caller, call.method)
                        self._make_room(call)
                        with self._calls.working(call), asks(call.caller):
                            yield
            finally:
                line["code"] = _code(context)
                tracing.note(span, **line)
                self._note(call, line["code"], peer)

    async def _who(self, call: OpenCall, context: Context) -> Any:
        metadata: Any = context.invocation_metadata() or ()
        return await self._guard.who(call.method, tuple(metadata), context.auth_context())

    def _make_room(self, call: OpenCall) -> None:
        mine = self._calls.for_everyone if call.rule.everyone else self._calls.at_work
        if mine >= self._calls_max:
            raise Overloaded(f"{mine} calls are at work already", retry_after_s=1.0)
        if not call.rule.everyone:
            tenant = call.caller.tenant
            self._quotas.check_calls(tenant, self._calls.of_tenant[tenant])

    def _note(self, call: OpenCall, code: str, peer: str) -> None:
        denied = code in DENIED
        if denied or call.rule.changes:
            who = call.caller
            deed = Deed(who.name, who.tenant, call.method.removeprefix("/"), call.about, code, peer)
            self._audit.note(deed, denied)


def _behind(
    handler: Handler,
    read: Callable[[bytes], Any] | None,
    call: OpenCall,
    entered: Callable[[Context], Any],
) -> Handler:
    """The same handler, behind the door; `read` reads its messages.

    To gRPC every call streams its messages: then the door is asked before one has come, strangers
    send none that is read, and a call whose message never comes can be told so.
    """
    inner: Any = (
        handler.unary_unary or handler.unary_stream or handler.stream_unary or handler.stream_stream
    )

    async def said(messages: Any) -> Any:
        heard = Heard(messages, call)
        return heard if call.streams_in else await heard.only()

    async def one(messages: Any, context: Context) -> Any:
        async with entered(context):
            answer = await inner(await said(messages), context)
            call.about = call.about or named(answer, call.rule.about)
            return answer

    async def many(messages: Any, context: Context) -> None:
        # A coroutine that writes, not a generator: when the call breaks off, gRPC forgets a
        # generator where it stands, and its sessions would stay open until garbage is collected.
        async with entered(context):
            answers = inner(await said(messages), context)
            if inspect.isawaitable(answers):
                await answers
                return
            async with aclosing(answers):
                async for answer in answers:
                    with call.says():
                        await context.write(answer)

    many_out = handler.response_streaming
    build: Any = (
        grpc.stream_stream_rpc_method_handler if many_out else grpc.stream_unary_rpc_method_handler
    )
    return build(
        many if many_out else one,
        request_deserializer=reading(read),
        response_serializer=handler.response_serializer,
    )


def _code(context: Context) -> str:
    if context.cancelled():
        return grpc.StatusCode.CANCELLED.name
    code: object = context.code()  # 0, whatever its type says, where nothing was set
    return code.name if isinstance(code, grpc.StatusCode) else grpc.StatusCode.OK.name

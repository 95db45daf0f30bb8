"""What every call meets, in this order: who asks, is there room, the service, how did it end."""

import inspect
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import aclosing, asynccontextmanager, contextmanager
from typing import Any, TypeAlias

import grpc

from rankspace.errors import Overloaded
from services import telemetry
from services.auth import OPEN, Guard
from services.errors import reported

Context = grpc.aio.ServicerContext[Any, Any]
Handler: TypeAlias = "grpc.RpcMethodHandler[Any, Any]"  # generic for the type checker only
Maybe: TypeAlias = "grpc.RpcMethodHandler[Any, Any] | None"
Entered = Callable[[Context], Any]


class Door(grpc.aio.ServerInterceptor):
    """What every call meets."""

    def __init__(self, guard: Guard, calls_max: int) -> None:
        self._guard = guard
        self._calls_max = calls_max
        self._calls = 0

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[Maybe]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> Maybe:
        handler = await continuation(handler_call_details)
        if handler is None:
            return None

        def entered(context: Context) -> Any:
            return self._entered(handler_call_details, context)

        return _behind(handler, entered)

    @asynccontextmanager
    async def _entered(
        self, details: grpc.HandlerCallDetails, context: Context
    ) -> AsyncIterator[None]:
        with telemetry.call(details.method, context.peer()) as line:
            try:
                async with reported(context):
                    line["who"] = self._guard.who(details.method, details.invocation_metadata or ())
                    with self._counted(details.method):
                        yield
            finally:
                line["code"] = _code(context)

    @contextmanager
    def _counted(self, method: str) -> Iterator[None]:
        if self._calls >= self._calls_max and method not in OPEN:
            raise Overloaded(f"{self._calls} calls are at work already", retry_after_s=1.0)
        self._calls += 1
        try:
            yield
        finally:
            self._calls -= 1


def _behind(handler: Handler, entered: Entered) -> Handler:
    """The same handler, behind the door."""
    inner: Any = (
        handler.unary_unary or handler.unary_stream or handler.stream_unary or handler.stream_stream
    )

    async def one(request: Any, context: Context) -> Any:
        async with entered(context):
            return await inner(request, context)

    async def many(request: Any, context: Context) -> None:
        # A coroutine that writes, not a generator: when the call breaks off, gRPC forgets a
        # generator where it stands, and its sessions would stay open until garbage is collected.
        async with entered(context):
            answers = inner(request, context)
            if inspect.isawaitable(answers):
                await answers
                return
            async with aclosing(answers):
                async for answer in answers:
                    await context.write(answer)

    build: Any = {
        (False, False): grpc.unary_unary_rpc_method_handler,
        (False, True): grpc.unary_stream_rpc_method_handler,
        (True, False): grpc.stream_unary_rpc_method_handler,
        (True, True): grpc.stream_stream_rpc_method_handler,
    }[handler.request_streaming, handler.response_streaming]
    return build(
        many if handler.response_streaming else one,
        request_deserializer=handler.request_deserializer,
        response_serializer=handler.response_serializer,
    )


def _code(context: Context) -> str:
    if context.cancelled():
        return grpc.StatusCode.CANCELLED.name
    code: object = context.code()  # 0, whatever its type says, where nothing was set
    return code.name if isinstance(code, grpc.StatusCode) else grpc.StatusCode.OK.name

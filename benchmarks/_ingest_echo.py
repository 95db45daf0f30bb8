"""The ceiling: a bare grpc.aio server that takes the same messages and keeps nothing.

    python -m benchmarks._ingest_echo PORT_FILE

`AppendSamples` answers each message with a small AppendSamplesResponse, as an append does.
`/bare/All` sends every message back as it came.
"""

import sys
from collections.abc import AsyncIterator
from pathlib import Path

import grpc
import uvloop

from rankspace.v1 import ingestion_pb2 as pb

SERVICE = "rankspace.v1.IngestionService"
MESSAGE_BYTES_MAX = 32 << 20


async def taken(
    requests: AsyncIterator[pb.AppendSamplesRequest], _context: object
) -> AsyncIterator[pb.AppendSamplesResponse]:
    """A small answer to every message."""
    number = 0
    async for request in requests:
        number += 1
        result = pb.AppendResult(offset=request.batch.offset, durable_offset=number)
        yield pb.AppendSamplesResponse(result=result, batch=number, next_offset=number)


async def back(
    requests: AsyncIterator[pb.AppendSamplesRequest], _context: object
) -> AsyncIterator[pb.AppendSamplesRequest]:
    """Every message as it came, read and written anew."""
    async for request in requests:
        yield request


async def serve(port_file: Path) -> None:
    server = grpc.aio.server(options=[("grpc.max_receive_message_length", MESSAGE_BYTES_MAX)])
    read = pb.AppendSamplesRequest.FromString
    small, same = (
        grpc.stream_stream_rpc_method_handler(handler, read, message.SerializeToString)
        for handler, message in ((taken, pb.AppendSamplesResponse), (back, pb.AppendSamplesRequest))
    )
    for service, methods in ((SERVICE, {"AppendSamples": small}), ("bare", {"All": same})):
        handler = grpc.method_handlers_generic_handler(service, methods)
        server.add_generic_rpc_handlers((handler,))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    port_file.write_text(str(port))  # noqa: ASYNC240 - before anybody calls
    await server.wait_for_termination()


if __name__ == "__main__":
    uvloop.run(serve(Path(sys.argv[1])))

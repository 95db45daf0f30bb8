"""Writers who want too much: so many connections, each sending as fast as it can, without heed.

    python -m tests.e2e.greedy ADDRESS CONNECTIONS BYTES SECONDS

Each sends batches of one sample with BYTES of sound, whatever credit it has, up to 1 GB, and reads
its answers. Prints how many batches were acknowledged and how many calls were refused.
"""

import asyncio
import contextlib
import sys
from typing import Any

import grpc

from rankspace.media.sample import Part, Sample
from rankspace.v1 import ingestion_pb2 as pb
from rankspace.wire.ingestion import write_batch

METHOD = "/rankspace.v1.IngestionService/AppendSamples"
TOTAL = 1 << 30


def requests(size: int) -> tuple[bytes, bytes]:
    """The setup and the batch that is sent again and again, at the end of the stream."""
    setup = pb.AppendSamplesRequest(setup=pb.AppendSetup(stream="streams/s"))
    sound = Part("audio", bytes(size), "pcm_s16le", "", 48_000, 1)
    batch = pb.AppendSamplesRequest(batch=write_batch([Sample("greedy", (sound,))], None))
    return setup.SerializeToString(), batch.SerializeToString()


async def write(call: Any, size: int) -> None:
    """Send until the gigabyte is full."""
    setup, batch = requests(size)
    await call.write(setup)
    for _ in range(TOTAL // size):
        await call.write(batch)


async def one(address: str, size: int) -> int:
    """One connection; the batches that were acknowledged."""
    options = [("grpc.use_local_subchannel_pool", 1), ("grpc.max_send_message_length", -1)]
    stored = 0
    async with grpc.aio.insecure_channel(address, options) as channel:
        call: Any = channel.stream_stream(METHOD, None, pb.AppendSamplesResponse.FromString)()
        writing = asyncio.create_task(write(call, size))
        try:
            while (answer := await call.read()) is not grpc.aio.EOF:
                stored += answer.HasField("result")
        except (asyncio.CancelledError, grpc.aio.AioRpcError):
            pass
        finally:
            writing.cancel()
            call.cancel()
            with contextlib.suppress(asyncio.CancelledError, grpc.aio.AioRpcError):
                await writing
    return stored


async def main(address: str, connections: int, size: int, seconds: float) -> None:
    """All of them at once."""
    tasks = [asyncio.create_task(one(address, size)) for _ in range(connections)]
    _, busy = await asyncio.wait(tasks, timeout=seconds)
    for task in busy:
        task.cancel()
    stored = await asyncio.gather(*tasks)
    sys.stdout.write(f"{sum(stored)} {connections - len(busy)}\n")


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), float(sys.argv[4])))

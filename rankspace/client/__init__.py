"""The Python SDK: `AsyncClient` to await, `Client` to wait; calls have the names of the wire.

    with Client("localhost:50051") as client:
        client.create_stream("digits")
        client.append("digits", samples)
        job = client.create_job(JobConfig(streams=("digits",)))
        for event in client.watch_job(job.job_id):
            print(event.body["phase"], event.body["loss"])
        print(client.ask([Part("image", picture)], Target(modality="text", role="word")).text)

Every error is a leaf of `rankspace.errors`, the same that was raised in the server. Appending,
reading and watching go on after a lost connection where they were.
"""

from rankspace.client.appending import AppendSummary, SampleError
from rankspace.client.blocking import BlockingSession, Client
from rankspace.client.calls import AsyncClient
from rankspace.client.connection import Tls
from rankspace.client.generation import Answer, Session
from rankspace.client.growing import Growing

__all__ = [
    "Answer",
    "AppendSummary",
    "AsyncClient",
    "BlockingSession",
    "Client",
    "Growing",
    "SampleError",
    "Session",
    "Tls",
]

"""Every method of ours, asked about things by their names, message by message."""

from dataclasses import dataclass
from typing import Any

import grpc
from google.protobuf.message import Message

from rankspace.v1 import generation_pb2 as gen
from rankspace.v1 import ingestion_pb2 as ing
from rankspace.v1 import models_pb2 as mod
from rankspace.v1 import training_pb2 as tra
from tests.services.holders import bearing
from tests.services.refusal import unpacked


@dataclass(frozen=True)
class Owned:
    """The names of what one tenant has."""

    stream: str
    model: str
    alias: str
    job: str


NOBODYS = Owned("never-made", "never-made", "never-made", "job-000000000000")


def requests(own: Owned) -> dict[str, list[Message]]:
    """Every method that names something, asked about these things."""
    stream, alias, job = f"streams/{own.stream}", f"aliases/{own.alias}", f"jobs/{own.job}"
    version = f"models/{own.model}/versions/1"
    part = gen.EmbedRequest(model=own.model).parts
    part.add().text.utf8 = b"x"
    config = tra.JobConfig(streams=[own.stream])
    setup = ing.AppendSetup(stream=stream)
    return {
        "/rankspace.v1.IngestionService/": [
            ing.GetStreamRequest(name=stream),
            ing.UpdateStreamRequest(name=stream, description="mine now"),
            ing.ReadSamplesRequest(stream=stream),
            ing.ReadSamplesRequest(stream=stream, follow=True),
            ing.ListRejectsRequest(stream=stream),
            ing.GetRejectRequest(stream=stream, offset=1),
            ing.RetryRejectRequest(stream=stream, offset=1),
            ing.AppendSamplesRequest(setup=setup),
            ing.FinalizeStreamRequest(name=stream),
            ing.DeleteStreamRequest(name=stream),
        ],
        "/rankspace.v1.TrainingService/": [
            tra.CreateJobRequest(config=config, request_id="again"),
            tra.GetJobRequest(name=job),
            tra.WatchJobRequest(name=job),
            tra.CancelJobRequest(name=job),
            tra.PauseJobRequest(name=job),
            tra.ResumeJobRequest(name=job),
        ],
        "/rankspace.v1.ModelService/": [
            mod.GetModelVersionRequest(name=version),
            mod.GetModelVersionRequest(name=f"models/{own.model}"),
            mod.GetModelVersionRequest(name=alias),
            mod.ListModelVersionsRequest(parent=f"models/{own.model}"),
            mod.GetAliasRequest(name=alias),
            mod.PromoteAliasRequest(name="aliases/stolen", model_version=version),
            mod.RollBackAliasRequest(name=alias),
            mod.ExportModelVersionRequest(name=version),
        ],
        "/rankspace.v1.GenerationService/": [
            gen.EmbedRequest(model=own.model, parts=part),
            gen.ScoreRequest(model=own.alias, parts=part),
            gen.GenerateRequest(setup=gen.GenerateSetup(model=own.model)),
        ],
    }


LISTS: dict[str, list[Message]] = {
    "/rankspace.v1.IngestionService/": [ing.ListStreamsRequest()],
    "/rankspace.v1.TrainingService/": [tra.ListJobsRequest()],
    "/rankspace.v1.ModelService/": [
        mod.ListModelVersionsRequest(parent="models/-"),
        mod.ListAliasesRequest(),
    ],
}
ELSEWHERE = {"CreateStream", "Feedback", "Check", "Watch", "List", "ServerReflectionInfo"}
"""Methods that name nothing that is there."""


async def ask(
    channel: grpc.aio.Channel, service: str, message: Message, token: str
) -> tuple[object, ...]:
    """How a call ends: its code, reason, field and text, and the bytes that were answered."""
    method = service + type(message).__name__.removesuffix("Request")
    streams_in = method.endswith(("/AppendSamples", "/Generate"))
    streams_out = streams_in or method.endswith(
        ("/ReadSamples", "/WatchJob", "/ExportModelVersion")
    )
    build: Any = {
        (False, False): channel.unary_unary,
        (False, True): channel.unary_stream,
        (True, True): channel.stream_stream,
    }[streams_in, streams_out]
    stub = build(method, request_serializer=None, response_deserializer=None)
    sent: Any = message.SerializeToString()
    call = stub(iter([sent]) if streams_in else sent, metadata=bearing(token), timeout=10)
    answers: list[bytes] = []
    try:
        if streams_out:
            while (answer := await call.read()) is not grpc.aio.EOF:
                answers.append(answer)
        else:
            answers.append(await call)
    except grpc.aio.AioRpcError as error:
        return method, error.code(), *unpacked(error), error.details(), b"".join(answers)
    return method, grpc.StatusCode.OK, "", "", "", b"".join(answers)

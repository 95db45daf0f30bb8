"""The words of AppendSamples: what its messages ask for, and what is answered."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager

from rankspace.errors import RankspaceError, Unreachable
from rankspace.store.entries import Appended
from rankspace.store.growing import Step
from rankspace.v1 import ingestion_pb2 as pb
from rankspace.v1 import media_pb2
from rankspace.wire import growing as wire_growing
from rankspace.wire import ingestion as wire
from services.errors import problem
from services.ingestion.config import IngestionConfig


def read_steps(
    requests: Iterable[pb.AppendSamplesRequest], config: IngestionConfig
) -> list[Step | RankspaceError]:
    """What each piece does to its medium, or why it can do nothing."""
    return [_step(request, config) for request in requests]


def _step(request: pb.AppendSamplesRequest, config: IngestionConfig) -> Step | RankspaceError:
    try:
        return wire_growing.read_step(
            request.piece, config.growing_bytes_max, config.chunk_bytes_max
        )
    except RankspaceError as error:
        return error


def placed(error: RankspaceError, places: Sequence[tuple[str, str]]) -> RankspaceError:
    """An error about a medium, as one about the part that names it."""
    place = dict(places).get(error.facts.get("media_id", ""), error.field)
    return type(error)(error.message, place, error.retry_after_s, error.facts)


@contextmanager
def behind(done: str) -> Iterator[None]:
    """What fails here fails behind what is done, and must not be told as its refusal."""
    try:
        yield
    except RankspaceError as error:
        raise Unreachable(f"{done}; send it again", retry_after_s=error.retry_after_s) from error


A_BATCH = "the batch is stored, and not all that belongs to it"
A_CLAIM = "the stream is this writer's, and could not be read"


def write_result(
    appended: Appended,
    offset: int | None,
    samples: Sequence[media_pb2.Sample],
    refusals: Mapping[int, RankspaceError],
) -> pb.AppendSamplesResponse:
    """A batch is stored that was to land there; `samples` are those that refusals are about."""
    errors = [
        pb.SampleError(
            index=index,
            offset=appended.first + index,
            sample_id=samples[index].sample_id,
            problem=problem(error),
        )
        for index, error in refusals.items()
    ]
    result = pb.AppendResult(
        offset=appended.first,
        duplicate=appended.duplicate,
        durable_offset=appended.next,
        sample_errors=errors,
        durability=wire.write_durability(appended.durability),
        at_least_once=offset is None,
    )
    return pb.AppendSamplesResponse(result=result, next_offset=appended.next)

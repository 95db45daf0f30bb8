"""Whether what came off the wire is taken, sample by sample."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from rankspace.errors import InvalidInput, LimitExceeded, NotBuilt, RankspaceError
from rankspace.media.limits import Limits
from rankspace.media.probe import check_form
from rankspace.media.sample import Sample
from rankspace.store.entries import Refusal, Rejected
from rankspace.store.growing import Medium
from rankspace.v1 import ingestion_pb2 as pb
from rankspace.v1 import media_pb2
from rankspace.wire import ingestion as wire
from rankspace.wire.media import read_sample, write_sample
from services.ingestion.config import IngestionConfig
from services.sandbox.decoding import Sandbox
from services.telemetry import tracing

Read = Sample | RankspaceError


@dataclass(frozen=True, slots=True)
class Admitted:
    """What is to be appended of a batch."""

    entries: list[Sample | Rejected]
    """Every sample, or what is left of it."""

    refusals: dict[int, RankspaceError]
    """Why, by the place in the batch."""


async def admit(
    batch: pb.SampleBatch,
    config: IngestionConfig,
    sandbox: Sandbox,
    grown: Mapping[str, Medium] | None = None,
) -> Admitted:
    """Judge every sample of a batch; the growing media that it names are in `grown`."""
    read = await asyncio.to_thread(_read, batch, config, grown or {})
    with tracing.step("sandbox"):
        errors = await judge([one for one in read if isinstance(one, Sample)], sandbox)
    judged = iter(errors)
    entries: list[Sample | Rejected] = []
    refusals: dict[int, RankspaceError] = {}
    for index, one in enumerate(read):
        error = next(judged) if isinstance(one, Sample) else one
        if error is not None:
            refusals[index] = error
            entries.append(_rejected(batch.samples[index], one, error, config.limits))
        elif isinstance(one, Sample):
            entries.append(one)
    return Admitted(entries, refusals)


async def judge(samples: Sequence[Sample], sandbox: Sandbox) -> list[InvalidInput | None]:
    """Why each sample is refused; None: it is not. The one place where media are looked into.

    Their form is judged here; what needs a decoder, in a process that may die of it.
    """
    errors = await asyncio.to_thread(lambda: [_error(one, sandbox.limits) for one in samples])
    formed = [one for one, error in zip(samples, errors, strict=True) if error is None]
    found = iter(await sandbox.checked(formed))
    return [next(found) if error is None else error for error in errors]


def kept(batch: pb.SampleBatch, admitted: Admitted, first: int) -> list[Refusal]:
    """The refused samples of a batch that begins at offset `first`, as they came."""
    found = []
    for index, error in admitted.refusals.items():
        entry = admitted.entries[index]
        message = batch.samples[index]
        if isinstance(entry, Rejected) and entry.content is not None:
            message = write_sample(entry.content)  # what had grown is part of it now
        found.append(
            Refusal(
                first + index,
                entry.sample_id,
                error.reason(),
                error.message,
                error.field,
                raw=message.SerializeToString(),
            )
        )
    return found


def _read(
    batch: pb.SampleBatch, config: IngestionConfig, grown: Mapping[str, Medium]
) -> list[Read]:
    """Every sample, or why it cannot be read; slow, for a thread."""
    wire.check_hash(batch)
    if not 0 < len(batch.samples) <= config.batch_samples_max:
        raise LimitExceeded(
            f"a batch holds 1 to {config.batch_samples_max} samples, this one {len(batch.samples)}",
            "batch.samples",
        )
    return [_sample(message, grown) for message in batch.samples]


def _sample(message: media_pb2.Sample, grown: Mapping[str, Medium]) -> Read:
    try:
        return read_sample(message, grown=grown)
    except (InvalidInput, NotBuilt) as error:
        return error


def _error(sample: Sample, limits: Limits) -> InvalidInput | None:
    try:
        check_form(sample, limits)
    except InvalidInput as error:
        return error
    return None


def _rejected(
    message: media_pb2.Sample, read: Read, error: RankspaceError, limits: Limits
) -> Rejected:
    shown = message.sample_id[: limits.sample_id_chars_max].replace("\0", "\ufffd")
    content = read if isinstance(read, Sample) else None
    return Rejected(shown, error.reason(), error.message, content)

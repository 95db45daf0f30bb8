"""Whether what came off the wire is taken, sample by sample.

message → read: samples, their form judged, on the loop → judge: what needs a decoder → admitted
"""

import asyncio
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from rankspace.errors import InvalidInput, LimitExceeded, NotBuilt, RankspaceError
from rankspace.media.limits import Limits
from rankspace.media.probe import check_form
from rankspace.media.sample import Sample
from rankspace.store.content import media_bytes
from rankspace.store.drafts import Laid
from rankspace.store.entries import Refusal, Rejected
from rankspace.store.growing import Medium
from rankspace.v1 import ingestion_pb2 as pb
from rankspace.wire import ingestion as wire
from rankspace.wire.intake import Plain
from rankspace.wire.media import read_sample, write_sample
from services.desk import Desk
from services.ingestion.config import IngestionConfig
from services.sandbox.decoding import Sandbox
from services.sandbox.messages import pieces
from services.telemetry import tracing

HASHED_AT_ONCE = 1 << 19
"""Bytes that BLAKE3 hashes sooner than a thread is at work; SHA-256, of a quarter of them."""


@dataclass(frozen=True, slots=True)
class Read:
    """A batch off the wire, before anybody has looked into its media."""

    batch: pb.SampleBatch
    samples: list[Sample | None]
    """None: it cannot be read."""

    refusals: dict[int, RankspaceError]
    """Why a sample is not taken, by its place."""

    limits: Limits

    @property
    def grows(self) -> bool:
        """It names media that came piece by piece, which were not given."""
        return any(isinstance(error, NotBuilt) for error in self.refusals.values())


@dataclass(frozen=True, slots=True)
class Admitted:
    """What is to be appended of a batch."""

    entries: list[Sample | Rejected]
    """Every sample, or what is left of it."""

    refusals: dict[int, RankspaceError]
    """Why, by the place in the batch."""

    plain: Plain | None = None
    """The batch instead of its entries, where all of it is read and laid out already."""

    @property
    def what(self) -> list[Sample | Rejected] | Laid:
        """What the engine is given."""
        return self.entries if self.plain is None else self.plain

    @property
    def samples(self) -> int:
        """How many are to be stored as samples."""
        if self.plain is not None:
            return self.plain.offsets
        return sum(isinstance(entry, Sample) for entry in self.entries)

    @property
    def bytes(self) -> int:
        """Their media bytes."""
        if self.plain is not None:
            return self.plain.size
        return sum(media_bytes(entry) for entry in self.entries if isinstance(entry, Sample))


async def read(
    batch: pb.SampleBatch,
    config: IngestionConfig,
    desk: Desk,
    grown: Mapping[str, Medium] | None = None,
) -> Read:
    """Read every sample and judge its form; the growing media that it names are in `grown`."""
    if not 0 < len(batch.samples) <= config.batch_samples_max:
        raise LimitExceeded(
            f"a batch holds 1 to {config.batch_samples_max} samples, this one {len(batch.samples)}",
            "batch.samples",
        )
    found = Read(batch, [], {}, config.limits)
    await desk.through(_reading(found, grown))
    if batch.content_hash or batch.content_blake3:
        await _check_hash(found, bool(grown))
    return found


def _reading(found: Read, grown: Mapping[str, Medium] | None) -> Iterator[None]:
    """A step a sample."""
    for at, message in enumerate(found.batch.samples):
        sample = None
        try:
            sample = read_sample(message, grown=grown)
            check_form(sample, found.limits)
        except (InvalidInput, NotBuilt) as error:
            found.refusals[at] = error
        found.samples.append(sample)
        yield


async def glanced(plain: Plain, sandbox: Sandbox, tenant: str) -> Admitted | None:
    """Look into the media of a plain batch; None: it is not as plain as it looks."""
    with tracing.step("sandbox"):
        untold = await sandbox.untold(plain.heads, tenant)
        places = {*(plain.short[at] for at in untold), *plain.whole}
        doubtful = plain.samples(places) if places else []
        if doubtful and any(await sandbox.checked(doubtful, tenant)):
            return None
    return Admitted([], {}, plain)


async def judge(
    found: Read, sandbox: Sandbox, *, tenant: str = "", strip: bool = False
) -> Admitted:
    """Look into the media. The one place where that is done, in a process that may die of it.

    With `strip` what is admitted is without metadata.
    """
    places = [at for at in range(len(found.samples)) if at not in found.refusals]
    formed = [sample for at in places if (sample := found.samples[at]) is not None]
    with tracing.step("sandbox"):
        if strip:
            answers = await sandbox.stripped(formed, tenant)
        else:
            errors = await sandbox.checked(formed, tenant)
            if not found.refusals and not any(errors):  # nearly always
                return Admitted([*formed], {})
            answers = [error or one for one, error in zip(formed, errors, strict=True)]
    judged = dict(zip(places, answers, strict=True))
    refusals = found.refusals | {
        at: answer for at, answer in judged.items() if isinstance(answer, InvalidInput)
    }
    entries: list[Sample | Rejected] = [one for one in answers if isinstance(one, Sample)]
    if refusals:
        places = list(range(len(found.samples)))
        entries = [_entry(found, at, judged.get(at), refusals.get(at)) for at in places]
    return Admitted(entries, refusals)


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


async def _check_hash(found: Read, grown: bool) -> None:
    """Refuse a batch that is not the one that was sent."""
    samples = [sample for sample in found.samples if sample is not None]
    if grown or len(samples) < len(found.samples):
        await asyncio.to_thread(lambda: wire.check_hash(found.batch))
        return
    media = [piece for sample in samples for part in sample.parts for piece in pieces(part)]
    at_once = HASHED_AT_ONCE // 4 if found.batch.content_hash else HASHED_AT_ONCE
    if sum(map(len, media)) <= at_once:
        wire.check_hash(found.batch, media)
    else:
        await asyncio.to_thread(lambda: wire.check_hash(found.batch, media))


def _entry(
    found: Read, at: int, judged: Sample | InvalidInput | None, error: RankspaceError | None
) -> Sample | Rejected:
    if isinstance(judged, Sample):
        return judged
    sample, error = found.samples[at], error or found.refusals[at]
    sample_id = found.batch.samples[at].sample_id
    shown = sample_id[: found.limits.sample_id_chars_max].replace("\0", "\ufffd")
    return Rejected(shown, error.reason(), error.message, sample)

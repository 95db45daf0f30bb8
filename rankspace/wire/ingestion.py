"""Streams, batches and what is read back."""

import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from rankspace.errors import InvalidInput
from rankspace.hashing import digest
from rankspace.media.sample import Modality, Sample
from rankspace.store.entries import Durability, Refusal, Rejected, Retention, Stream, StreamChange
from rankspace.v1 import ingestion_pb2 as pb
from rankspace.v1 import media_pb2
from rankspace.v1.problem_pb2 import Problem
from rankspace.wire.media import read_modality, read_sample, write_modality, write_sample
from rankspace.wire.names import read_name
from rankspace.wire.values import read_enum, read_time, write_enum, write_time


@dataclass(frozen=True, slots=True)
class Filter:
    """Which samples a reader wants; all conditions must hold, an empty one always does."""

    modalities: frozenset[Modality] = frozenset()
    """The sample has a part of one of these."""

    roles: frozenset[str] = frozenset()
    """The sample has a part of one of these."""

    labels: Mapping[str, str] = field(default_factory=dict)
    """The sample has all of these."""

    rejected: bool = False
    """What is left of refused samples is wanted too."""

    @property
    def sieve(self) -> Callable[[Sample | Rejected], bool] | None:
        """`takes`, or None where it takes every sample."""
        return self.takes if self.modalities or self.roles or self.labels else None

    def takes(self, entry: Sample | Rejected) -> bool:
        """Whether it is wanted."""
        if isinstance(entry, Rejected):
            return self.rejected
        return (
            (not self.modalities or any(part.modality in self.modalities for part in entry.parts))
            and (not self.roles or any(part.role in self.roles for part in entry.parts))
            and self.labels.items() <= entry.labels.items()
        )


def read_stream(message: pb.Stream) -> Stream:
    """A stream's figures."""
    return Stream(
        name=read_name("streams", message.name),
        description=message.description,
        labels=dict(message.labels),
        created_us=read_time(message.create_time),
        finalized=message.state == pb.STREAM_STATE_FINALIZED,
        next_offset=message.next_offset,
        rejected=message.rejected_samples,
        bytes=message.bytes,
        epoch=message.writer_epoch,
        digest=message.digest,
        retention=read_retention(message.retention),
        first_kept=message.first_kept,
        kept_bytes=message.kept_bytes,
        strip_metadata=message.strip_metadata,
    )


def write_stream(stream: Stream) -> pb.Stream:
    """The same on the wire."""
    return pb.Stream(
        name=f"streams/{stream.name}",
        description=stream.description,
        labels=stream.labels,
        state=pb.STREAM_STATE_FINALIZED if stream.finalized else pb.STREAM_STATE_OPEN,
        create_time=write_time(stream.created_us),
        next_offset=stream.next_offset,
        rejected_samples=stream.rejected,
        bytes=stream.bytes,
        writer_epoch=stream.epoch,
        digest=stream.digest,
        retention=write_retention(stream.retention),
        first_kept=stream.first_kept,
        kept_bytes=stream.kept_bytes,
        strip_metadata=stream.strip_metadata,
    )


def read_durability(value: int) -> Durability:
    """What an acknowledgement is to promise; unspecified: on stable storage."""
    word = read_enum(pb.Durability.DESCRIPTOR, value, "setup.durability")
    return "written" if word == "written" else "synced"


def write_durability(durability: Durability) -> Any:
    """The same on the wire."""
    return write_enum(pb.Durability.DESCRIPTOR, durability, "durability")


def read_retention(message: pb.Retention) -> Retention:
    """How long samples are kept."""
    if message.age_s < 0 or message.bytes < 0:
        raise InvalidInput("age_s and bytes are 0 (for ever) or more", "retention")
    return Retention(message.age_s, message.bytes)


def write_retention(retention: Retention) -> pb.Retention:
    """The same on the wire."""
    return pb.Retention(age_s=retention.age_s, bytes=retention.bytes)


def read_change(message: pb.UpdateStreamRequest) -> StreamChange:
    """What is to be another one of a stream."""
    return StreamChange(
        message.description if message.HasField("description") else None,
        dict(message.labels.labels) if message.HasField("labels") else None,
        read_retention(message.retention) if message.HasField("retention") else None,
    )


def write_change(name: str, change: StreamChange) -> pb.UpdateStreamRequest:
    """The same on the wire."""
    return pb.UpdateStreamRequest(
        name=f"streams/{name}",
        description=change.description,
        labels=None if change.labels is None else pb.Labels(labels=change.labels),
        retention=None if change.retention is None else write_retention(change.retention),
    )


def read_reject(message: pb.Reject) -> Refusal:
    """A refused sample that is kept."""
    return Refusal(
        message.offset,
        message.sample_id,
        message.problem.reason,
        message.problem.message,
        message.problem.field,
        read_time(message.create_time),
        size=message.bytes,
    )


def write_reject(reject: Refusal, code: int) -> pb.Reject:
    """The same on the wire; `code` is the status of its reason."""
    return pb.Reject(
        offset=reject.offset,
        sample_id=reject.sample_id,
        problem=Problem(
            code=code, reason=reject.reason, message=reject.message, field=reject.field
        ),
        create_time=write_time(reject.created_us),
        bytes=reject.size,
    )


def check_hash(batch: pb.SampleBatch, media: Sequence[bytes] | None = None) -> None:
    """Refuse a batch that is not the one that was sent; `media` are its media, if read already."""
    if not batch.content_hash and not batch.content_blake3:
        return
    pieces = content(batch.samples) if media is None else media
    for name, sent, hashed in (
        ("batch.content_hash", batch.content_hash, _sha256),
        ("batch.content_blake3", batch.content_blake3, digest),
    ):
        if sent and sent != hashed(*pieces):
            raise InvalidInput("the media do not have this hash; send the batch again", name)


def content(samples: Iterable[media_pb2.Sample]) -> list[bytes]:
    """The media bytes of all parts in order: what the hashes of a batch are of."""
    return [piece for sample in samples for part in sample.parts for piece in _media(part)]


def _sha256(*pieces: bytes) -> bytes:
    hasher = hashlib.sha256()
    for piece in pieces:
        hasher.update(piece)
    return hasher.digest()


def _media(part: media_pb2.Part) -> Iterator[bytes]:
    yield part.text.utf8 or part.audio.data or part.image.data or part.video.data
    yield from (frame.image for frame in part.video.frames)


def read_offset(batch: pb.SampleBatch) -> int | None:
    """Where the batch must land; None: at the end."""
    if batch.offset < 0:
        raise InvalidInput("an offset is 0 or more; leave it out to append", "batch.offset")
    return batch.offset if batch.HasField("offset") else None


def write_batch(samples: Iterable[Sample], offset: int | None) -> pb.SampleBatch:
    """A batch with its hash."""
    batch = [*samples]
    messages = [write_sample(sample) for sample in batch]
    parts = (part for sample in batch for part in sample.parts)
    media = (piece for part in parts for piece in (part.data, *(one.image for one in part.frames)))
    return pb.SampleBatch(offset=offset, samples=messages, content_blake3=digest(*media))


def read_filter(message: pb.ReadFilter) -> Filter:
    """Which samples are wanted."""
    modalities = (read_modality(value, "filter.modalities") for value in message.modalities)
    return Filter(
        frozenset(modalities), frozenset(message.roles), dict(message.labels), message.rejected
    )


def write_filter(wanted: Filter) -> pb.ReadFilter:
    """The same on the wire."""
    return pb.ReadFilter(
        modalities=[write_modality(modality) for modality in sorted(wanted.modalities)],
        roles=sorted(wanted.roles),
        labels=wanted.labels,
        rejected=wanted.rejected,
    )


def read_stored(message: pb.StoredSample) -> tuple[int, Sample | Rejected]:
    """A sample, or what is left of one, and its offset."""
    if message.HasField("rejected"):
        problem = message.rejected.problem
        rejected = Rejected(message.rejected.sample_id, problem.reason, problem.message)
        return message.offset, rejected
    return message.offset, read_sample(message.sample, "sample.")


def write_stored(offset: int, entry: Sample | Rejected, code: int = 0) -> pb.StoredSample:
    """The same on the wire; `code` is the status of a rejection's reason."""
    if isinstance(entry, Sample):
        return pb.StoredSample(offset=offset, sample=write_sample(entry))
    problem = Problem(code=code, reason=entry.reason, message=entry.message)
    rejected = pb.RejectedSample(sample_id=entry.sample_id, problem=problem)
    return pb.StoredSample(offset=offset, rejected=rejected)

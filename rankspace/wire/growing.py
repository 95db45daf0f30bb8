"""Media that come piece by piece."""

import re
from collections.abc import Iterator

from rankspace.errors import InvalidInput, LimitExceeded
from rankspace.store.growing import Abandon, Begin, Chunk, End, Grown, Head, Step
from rankspace.v1 import ingestion_pb2, media_pb2
from rankspace.wire.media import read_encoding, read_modality, write_encoding, write_modality

_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")
_ROLE_CHARS = 64
_YEAR_9999_US = 253_402_300_800_000_000


def read_step(message: media_pb2.MediaPiece, size_max: int, chunk_max: int) -> Step:
    """A step of a medium of at most `size_max` bytes."""
    media_id = message.media_id
    if not _ID.fullmatch(media_id):
        raise InvalidInput("a media id is 1 to 64 of A-Z a-z 0-9 . _ -", "piece.media_id")
    match message.WhichOneof("step"):
        case "begin":
            return Begin(media_id, _read_head(message.begin))
        case "chunk":
            return _read_chunk(message, size_max, chunk_max)
        case "end":
            sha256 = message.end.sha256
            if message.end.bytes < 0 or len(sha256) not in (0, 32):
                raise InvalidInput("bytes are 0 or more, a hash has 32 bytes", "piece.end")
            return End(media_id, message.end.bytes, sha256)
        case "abandon":
            return Abandon(media_id)
    raise InvalidInput("the piece is empty; set begin, chunk, end or abandon", "piece.step")


def _read_head(message: media_pb2.MediaBegin) -> Head:
    for name in ("rate_hz", "channels"):
        if getattr(message, name) < 0:
            raise InvalidInput(f"{name} is 0 or more", f"piece.begin.{name}")
    if len(message.role) > _ROLE_CHARS:
        raise InvalidInput(f"a role has at most {_ROLE_CHARS} characters", "piece.begin.role")
    if not 0 <= message.event_time_us < _YEAR_9999_US:
        raise InvalidInput(
            "the event time is in microseconds from 1970 to 9999", "piece.begin.event_time_us"
        )
    return Head(
        read_modality(message.modality, "piece.begin.modality"),
        read_encoding(message.encoding, "piece.begin.encoding"),
        message.role,
        message.rate_hz,
        message.channels,
        message.event_time_us,
    )


def _read_chunk(message: media_pb2.MediaPiece, size_max: int, chunk_max: int) -> Chunk:
    if not 0 < len(message.chunk) <= chunk_max:
        raise LimitExceeded(f"a chunk has 1 to {chunk_max} bytes", "piece.chunk")
    if message.position < 0:
        raise InvalidInput("a position is 0 or more", "piece.position")
    if message.position + len(message.chunk) > size_max:
        raise LimitExceeded(
            f"a growing medium has at most {size_max} bytes; end it and begin another",
            "piece.chunk",
        )
    return Chunk(message.media_id, message.position, message.chunk)


def write_step(step: Step) -> media_pb2.MediaPiece:
    """The same on the wire."""
    match step:
        case Begin(media_id, head):
            begin = media_pb2.MediaBegin(
                modality=write_modality(head.modality),
                encoding=write_encoding(head.encoding),
                role=head.role,
                rate_hz=head.rate_hz,
                channels=head.channels,
                event_time_us=head.event_time_us,
            )
            return media_pb2.MediaPiece(media_id=media_id, begin=begin)
        case Chunk(media_id, position, data):
            return media_pb2.MediaPiece(media_id=media_id, chunk=data, position=position)
        case End(media_id, size, sha256):
            end = media_pb2.MediaEnd(bytes=size, sha256=sha256)
            return media_pb2.MediaPiece(media_id=media_id, end=end)
        case Abandon(media_id):
            return media_pb2.MediaPiece(media_id=media_id, abandon=media_pb2.MediaAbandon())


def read_state(message: ingestion_pb2.MediaState) -> Grown:
    """How far a medium has come."""
    return Grown(message.media_id, message.position, message.ended, message.duplicate)


def write_state(grown: Grown) -> ingestion_pb2.MediaState:
    """The same on the wire."""
    return ingestion_pb2.MediaState(
        media_id=grown.media_id,
        position=grown.position,
        ended=grown.ended,
        duplicate=grown.duplicate,
    )


def named(batch: ingestion_pb2.SampleBatch) -> Iterator[tuple[str, str]]:
    """Each growing medium that a batch names, and where."""
    for at, sample in enumerate(batch.samples):
        for place, part in enumerate(sample.parts):
            if part.HasField("growing"):
                yield part.growing.media_id, f"batch.samples[{at}].parts[{place}].growing"

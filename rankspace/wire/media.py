"""Samples and parts."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, cast

from rankspace.errors import InvalidInput, NotBuilt, UnknownModality
from rankspace.media.sample import Frame, Modality, Part, Sample
from rankspace.store.growing import Medium
from rankspace.v1 import media_pb2 as pb
from rankspace.wire.values import read_enum, write_enum

_CARRIED = {
    "text": (),
    "audio": ("encoding", "rate_hz", "channels"),
    "image": ("encoding",),
    "video": ("encoding", "frames"),
}
"""Which fields of a part the wire has for each modality, besides its data."""


def read_modality(value: int, field: str) -> Modality:
    """A modality, which must be said."""
    word = read_enum(pb.Modality.DESCRIPTOR, value, field)
    if not word:
        raise UnknownModality(f"{field} is missing; say text, audio, image or video", field)
    return cast(Modality, word)


def write_modality(word: str) -> Any:
    """The same on the wire; "" is unspecified."""
    return write_enum(pb.Modality.DESCRIPTOR, word, "modality")


def read_encoding(value: int, field: str) -> str:
    """An encoding; "" if unspecified."""
    return read_enum(pb.Encoding.DESCRIPTOR, value, field)


def write_encoding(word: str) -> Any:
    """The same on the wire."""
    return write_enum(pb.Encoding.DESCRIPTOR, word, "encoding")


def read_part(message: pb.Part, path: str = "part") -> Part:
    """A part; `path` is where it stands in its request."""
    kind = message.WhichOneof("content")
    if kind == "text":  # the most frequent, in the fewest steps
        return Part("text", message.text.utf8, "", message.role, 0, 0, (), message.start_us)
    part = _read_part(message, kind, path)
    return replace(part, start_us=message.start_us) if message.start_us else part


def _read_part(message: pb.Part, kind: str | None, path: str) -> Part:
    role = message.role
    match kind:
        case "audio":
            return _read_audio(message.audio, role, path)
        case "image":
            encoding = read_encoding(message.image.encoding, f"{path}.encoding")
            return Part("image", message.image.data, encoding, role)
        case "video":
            encoding = read_encoding(message.video.encoding, f"{path}.encoding")
            frames = tuple(Frame(frame.time_us, frame.image) for frame in message.video.frames)
            return Part("video", message.video.data, encoding, role, frames=frames)
        case "growing":
            raise NotBuilt("only AppendSamples takes growing media; send it in one part", path)
    raise InvalidInput(f"{path} is empty; set text, audio, image or video", path)


def _read_audio(message: pb.Audio, role: str, path: str) -> Part:
    for name in ("rate_hz", "channels"):
        if getattr(message, name) < 0:
            raise InvalidInput(f"{path}.{name} is 0 or more", f"{path}.{name}")
    encoding = read_encoding(message.encoding, f"{path}.encoding")
    return Part("audio", message.data, encoding, role, message.rate_hz, message.channels)


def write_part(part: Part) -> pb.Part:
    """A part on the wire."""
    message = _write_part(part)
    message.start_us = part.start_us
    return message


def _write_part(part: Part) -> pb.Part:
    for name in ("encoding", "rate_hz", "channels", "frames"):
        if getattr(part, name) and name not in _CARRIED[part.modality]:
            raise InvalidInput(f"{part.modality} has no {name}; leave it out", name)
    encoding = write_encoding(part.encoding)
    match part.modality:
        case "text":
            return pb.Part(role=part.role, text=pb.Text(utf8=part.data))
        case "audio":
            audio = pb.Audio(
                data=part.data, encoding=encoding, rate_hz=part.rate_hz, channels=part.channels
            )
            return pb.Part(role=part.role, audio=audio)
        case "image":
            return pb.Part(role=part.role, image=pb.Image(data=part.data, encoding=encoding))
    frames = [pb.VideoFrame(time_us=frame.time_us, image=frame.image) for frame in part.frames]
    video = pb.Video(data=part.data, encoding=encoding, frames=frames)
    return pb.Part(role=part.role, video=video)


def read_sample(
    message: pb.Sample, path: str = "", grown: Mapping[str, Medium] | None = None
) -> Sample:
    """A sample; `path` is where it stands in its request, with a dot at its end.

    Where a part names a growing medium, `grown` has it.
    """
    time_us = message.event_time_us
    if grown:
        named = (grown.get(part.growing.media_id) for part in message.parts)
        begun = [medium.event_time_us for medium in named if medium and medium.event_time_us]
        time_us = time_us or min(begun, default=0)
    parts = []
    for at, part in enumerate(message.parts):
        place = f"{path}parts[{at}]"
        if grown and part.growing.media_id in grown:
            parts.append(_placed(part, grown[part.growing.media_id], time_us, place))
        else:
            parts.append(read_part(part, place))
    labels = message.labels
    return Sample(message.sample_id, tuple(parts), time_us, dict(labels) if labels else {})


def _placed(message: pb.Part, medium: Medium, time_us: int, path: str) -> Part:
    """A medium that has grown, in its place in a sample that happened at `time_us`."""
    part = medium.part
    if message.role and part.role and message.role != part.role:
        raise InvalidInput(
            f"the medium was begun with the role {part.role}; say the same or none", f"{path}.role"
        )
    start_us = message.start_us
    if not start_us and time_us > 0 and medium.event_time_us:
        start_us = medium.event_time_us - time_us
    return replace(part, role=message.role or part.role, start_us=start_us)


def write_sample(sample: Sample) -> pb.Sample:
    """A sample on the wire."""
    return pb.Sample(
        sample_id=sample.sample_id,
        event_time_us=sample.event_time_us,
        parts=map(write_part, sample.parts),
        labels=sample.labels,
    )

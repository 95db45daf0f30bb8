"""Whether a sample is taken: its form, and what the headers of its parts promise.

Cheap enough for every sample at the door: text is checked whole, of other media only the header is
read. A part that passes may still turn out damaged when it is decoded. Form is told without any
decoder, and headers are not: a server has them read where a decoder may die.
"""

import re
from collections.abc import Callable, Mapping
from types import MappingProxyType

from rankspace.errors import InvalidInput, MalformedMedia
from rankspace.media import audio, heads, image, text, video
from rankspace.media.clip import Probe as Probe
from rankspace.media.limits import Limits, bounded
from rankspace.media.magic import RAW, encoding_of
from rankspace.media.sample import Modality, Part, Sample

_PROBES: Mapping[Modality, Callable[[Part, Limits], Probe]] = MappingProxyType(
    {"text": text.probe, "audio": audio.probe, "image": image.probe, "video": video.probe}
)
_ROLE = re.compile(r"[a-z0-9_-]{0,64}\Z")
_UNPRINTABLE = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")
_YEAR_9999_US = 253_402_300_800_000_000


def probe(part: Part, limits: Limits) -> Probe:
    """What the part's header says. Raises UnknownModality, MalformedMedia or LimitExceeded."""
    encoding = encoding_of(part)
    _check_fields(part, encoding)
    if part.modality == "audio" and heads.needed(part) is not None:
        bounded("bytes in the part", len(part.data), limits.part_bytes_max)
        if (found := heads.told(part, len(part.data), limits)) is not None:
            return found
    return _PROBES[part.modality](part, limits)


def check(sample: Sample, limits: Limits) -> tuple[Probe, ...]:
    """The probes of a sample's parts; an error's `field` is as in "parts[1].data"."""
    check_form(sample, limits)
    found = []
    for at, part in enumerate(sample.parts):
        try:
            found.append(probe(part, limits))
        except InvalidInput as error:
            raise placed(error, at) from error
    return tuple(found)


def check_form(sample: Sample, limits: Limits) -> None:
    """All that can be told without a decoder: texts are checked whole, media by their outside."""
    _check_id(sample.sample_id, limits)
    if sample.labels:
        _check_labels(sample.labels, limits)
    if not 0 <= sample.event_time_us < _YEAR_9999_US:
        raise MalformedMedia("the event time is in microseconds from 1970 to 9999", "event_time_us")
    if not sample.parts:
        raise MalformedMedia("a sample has at least one part", "parts")
    bounded("parts", len(sample.parts), limits.parts_per_sample_max, "parts")
    for at, part in enumerate(sample.parts):
        try:
            _check_outside(part, limits)
        except InvalidInput as error:
            raise placed(error, at) from error


def placed(error: InvalidInput, at: int) -> InvalidInput:
    """What is wrong with a part, said of the sample whose part it is."""
    return type(error)(error.message, f"parts[{at}].{error.field}")


def _check_outside(part: Part, limits: Limits) -> None:
    if part.role and not _ROLE.match(part.role):
        raise MalformedMedia("a role is at most 64 characters of a-z 0-9 - _", "role")
    if part.modality == "text":
        text.decode(part, limits)
        _check_fields(part, "")
        return
    encoding = encoding_of(part)
    _check_fields(part, encoding)
    if encoding == "frames":
        video.check_times(part.frames, limits)
    else:
        bounded("bytes in the part", len(part.data), limits.part_bytes_max)


def _check_fields(part: Part, encoding: str) -> None:
    """What does not belong to the encoding is a mistake that should be heard of."""
    if encoding not in RAW and (part.rate_hz or part.channels):
        raise MalformedMedia("only raw PCM takes a rate and channels", "rate_hz")
    if (encoding == "frames") != bool(part.frames):
        raise MalformedMedia('timed pictures come as video with encoding "frames"', "frames")
    if encoding == "frames" and part.data:
        raise MalformedMedia("timed pictures come in `frames`, not in `data`", "data")


def _check_id(sample_id: str, limits: Limits) -> None:
    bounded("characters in the sample id", len(sample_id), limits.sample_id_chars_max, "sample_id")
    plain = sample_id.isascii() and sample_id.isprintable()  # told sooner than by the pattern
    clean = plain or not _UNPRINTABLE.search(sample_id)
    if not sample_id or not clean or sample_id != sample_id.strip():
        raise MalformedMedia(
            "a sample id is not empty, without control characters and spaces at its ends",
            "sample_id",
        )


def _check_labels(labels: Mapping[str, str], limits: Limits) -> None:
    bounded("labels", len(labels), limits.labels_max, "labels")
    for key, value in labels.items():
        longest = max(len(key), len(value))
        bounded("characters in a label", longest, limits.label_chars_max, "labels")
        if not key or _UNPRINTABLE.search(key) or "\0" in value:
            raise MalformedMedia(
                "a label has a name without control characters, and no NUL", "labels"
            )

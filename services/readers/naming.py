"""What the name of a file says of it, and what a json beside it may add.

`cat.jpg`, `cat.ru.txt` and `cat.speech-ru.ogg` are three parts of the sample `cat`, with the roles
"", "ru" and "speech-ru"; `cat.json` may say more (see `Meta`).
"""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import IO, TypeVar

from pydantic import ValidationError

from rankspace.config import Config
from rankspace.errors import InvalidInput, LimitExceeded
from rankspace.media.sample import Modality, Part, Sample

FORMATS: Mapping[str, tuple[Modality, str]] = {
    "txt": ("text", ""),
    **{name: ("audio", name) for name in ("wav", "flac", "ogg", "mp3", "opus")},
    **{name: ("image", name) for name in ("png", "jpeg", "webp", "gif")},
    "jpg": ("image", "jpeg"),
    **{name: ("video", name) for name in ("mp4", "webm")},
}
"""Extension → modality and encoding. A gif is a picture unless a json says it is a video."""

ROLE = re.compile(r"[a-z0-9_-]{1,64}")

Note = Callable[[str], None]
Kind = TypeVar("Kind", bound=Config)


class ReaderLimits(Config):
    """What the readers hold in memory at once."""

    file_bytes_max: int = 64 << 20
    """One media file."""

    json_bytes_max: int = 1 << 20
    """One line of a manifest, or one json beside media."""


LIMITS = ReaderLimits()


class PartMeta(Config):
    """What may be said of a part; what is left out, the file name says."""

    modality: Modality | None = None
    """text, audio, image or video."""

    role: str | None = None
    """What the part is to its sample."""

    encoding: str | None = None
    """The media format; needed for raw PCM only."""

    rate_hz: int = 0
    """Sample rate; raw PCM only."""

    channels: int = 0
    """Channel count; raw PCM only."""


class Meta(Config):
    """A json beside media. Other people's fields in it are ignored."""

    model_config = {"extra": "ignore"}

    sample_id: str = ""
    """Empty: what the files' names have in common."""

    event_time_us: int = 0
    """Microseconds since the Unix epoch; 0 when unknown."""

    labels: dict[str, str] = {}
    """Free text for filters; {"split": "valid"} holds a sample out of training."""

    parts: dict[str, PartMeta] = {}
    """By what follows the common name and its dot: "png", "ru.txt"."""


@dataclass(frozen=True, slots=True)
class Named:
    """One file of a sample."""

    suffix: str
    """What follows the sample's name and its dot."""

    where: str
    """How messages call it."""

    data: bytes


def silent(note: str) -> None:
    """Drop a note."""


def sample(key: str, files: Iterable[Named], note: Note) -> Iterator[Sample]:
    """The sample that these files are: none, if not one of them is media."""
    named = list(files)
    meta = next((parsed(Meta, f.data, f.where) for f in named if f.suffix == "json"), Meta())
    media = [file for file in named if file.suffix != "json"]
    lost = meta.parts.keys() - {file.suffix for file in media}
    if lost:
        raise InvalidInput(
            shown(f"{key}.json: parts.{min(lost)}: there is no {key}.{min(lost)} beside it")
        )
    parts = []
    for file in media:
        found = part(file, meta.parts.get(file.suffix, PartMeta()))
        if found is None:
            note(passed_over(file.where))
        else:
            parts.append(found)
    if parts:
        yield Sample(meta.sample_id or key, tuple(parts), meta.event_time_us, meta.labels)


def part(file: Named, meta: PartMeta) -> Part | None:
    """The part that a file is; None if neither its name nor the json tells the modality."""
    dotted, _, extension = file.suffix.rpartition(".")
    modality, encoding = FORMATS.get(extension.lower(), (None, ""))
    modality = meta.modality or modality
    if modality is None:
        return None
    role = dotted.replace(".", "-") if meta.role is None else meta.role
    if role and not ROLE.fullmatch(role):
        raise InvalidInput(f"{file.where}: role {role!r}: use up to 64 of a-z 0-9 - _")
    encoding = encoding if meta.encoding is None else meta.encoding
    return Part(modality, file.data, encoding, role, meta.rate_hz, meta.channels)


def passed_over(where: str) -> str:
    """The note on a file that is no media."""
    return f"{where}: passed over, not one of {', '.join(FORMATS)}"


def bounded(file: IO[bytes], size: int, where: str, limits: ReaderLimits) -> bytes:
    """The content of a file, if it is not too large."""
    allowed = limits.json_bytes_max if where.endswith(".json") else limits.file_bytes_max
    if size > allowed:
        raise LimitExceeded(f"{where}: {size} bytes, at most {allowed} are taken; split the file")
    return file.read(size)


def parsed(kind: type[Kind], data: bytes, where: str) -> Kind:
    """A config from JSON bytes, or an error that names the file and the field."""
    try:
        return kind.model_validate_json(data)
    except ValidationError as error:
        first = error.errors()[0]
        field = "".join(f"{step}: " for step in (".".join(map(str, first["loc"])),) if step)
        raise InvalidInput(shown(f"{where}: {field}{first['msg'].lower()}")) from error


def shown(text: str) -> str:
    """Names as a terminal may see them: those in a file of a stranger's may hold its commands."""
    return "".join(sign if sign.isprintable() else "\ufffd" for sign in text)

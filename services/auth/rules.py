"""What every method asks of its caller: the one table of permissions.

A method without a row may be called by nobody. A row names the scopes of which any one is enough
(`admin` always is), the field that names what the call is about, and whether the call changes
anything; the last two are for the audit log. Permission is asked before anything is looked up, so
who may not learns nothing of what there is.

    ingest     streams and what goes into them
    read       everything that can be listed, read back and exported
    train      jobs, and which model an alias means
    generate   answers of the models
    admin      all of it, and what cannot be taken back
"""

from dataclasses import dataclass
from typing import Literal

Scope = Literal["ingest", "read", "train", "generate", "admin"]
SCOPES: tuple[Scope, ...] = ("ingest", "read", "train", "generate", "admin")


@dataclass(frozen=True, slots=True)
class Rule:
    """One method."""

    scopes: frozenset[Scope]
    """Any one of them is enough."""

    about: str = ""
    """Path of the field that names what the call is about: of a request, else of an answer."""

    changes: bool = False
    """Something is another way afterwards, so the audit log has it."""

    everyone: bool = False
    """Strangers may ask: it tells nothing but whether the server serves."""


def _by(*scopes: Scope, about: str = "", changes: bool = False) -> Rule:
    return Rule(frozenset(scopes), about, changes)


_EVERYONE = Rule(frozenset(SCOPES), everyone=True)

_SERVICES: dict[str, dict[str, Rule]] = {
    "rankspace.v1.IngestionService": {
        "CreateStream": _by("ingest", about="stream_id", changes=True),
        "GetStream": _by("ingest", "read", "train", about="name"),
        "ListStreams": _by("ingest", "read", "train"),
        "UpdateStream": _by("admin", about="name", changes=True),  # may let samples expire
        "FinalizeStream": _by("ingest", about="name", changes=True),
        "DeleteStream": _by("admin", about="name", changes=True),
        "AppendSamples": _by("ingest", about="setup.stream", changes=True),
        "ReadSamples": _by("read", about="stream"),
        "ListRejects": _by("ingest", "read", about="stream"),
        "GetReject": _by("read", about="stream"),
        "RetryReject": _by("ingest", about="stream", changes=True),
    },
    "rankspace.v1.TrainingService": {
        "CreateJob": _by("train", about="job.name", changes=True),
        "GetJob": _by("train", "read", about="name"),
        "ListJobs": _by("train", "read"),
        "WatchJob": _by("train", "read", about="name"),
        "CancelJob": _by("train", about="name", changes=True),
        "PauseJob": _by("train", about="name", changes=True),
        "ResumeJob": _by("train", about="name", changes=True),
    },
    "rankspace.v1.ModelService": {
        "GetModelVersion": _by("read", "train", "generate", about="name"),
        "ListModelVersions": _by("read", "train", "generate", about="parent"),
        "GetAlias": _by("read", "train", "generate", about="name"),
        "ListAliases": _by("read", "train", "generate"),
        "PromoteAlias": _by("train", about="name", changes=True),
        "RollBackAlias": _by("train", about="name", changes=True),
        "ExportModelVersion": _by("read", about="name"),
    },
    "rankspace.v1.GenerationService": {
        "Generate": _by("generate", about="setup.model"),
        "Embed": _by("generate", about="model"),
        "Score": _by("generate", about="model"),
        "Feedback": _by("generate", changes=True),
    },
    "grpc.health.v1.Health": {"Check": _EVERYONE, "Watch": _EVERYONE, "List": _EVERYONE},
    "grpc.reflection.v1alpha.ServerReflection": {"ServerReflectionInfo": _by(*SCOPES)},
}

RULES: dict[str, Rule] = {
    f"/{service}/{method}": rule
    for service, rules in _SERVICES.items()
    for method, rule in rules.items()
}
"""The rule of every method, by its path."""

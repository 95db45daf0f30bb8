"""Jobs, their configs and their events."""

from typing import Any, cast

from rankspace.config import parse
from rankspace.errors import InvalidConfig
from rankspace.store.entries import Job, JobEvent, JobState, Wish
from rankspace.training.job import Event, JobConfig
from rankspace.v1 import training_pb2 as pb
from rankspace.wire.names import read_name
from rankspace.wire.values import (
    given,
    read_enum,
    read_struct,
    read_time,
    write_enum,
    write_struct,
    write_time,
)

_SETTINGS = frozenset(pb.JobConfig.DESCRIPTOR.fields_by_name) - {"streams", "settings"}
_MAPS = ("source_losses", "source_weights", "betas", "metrics")
_PLAIN = ("step", "steps", "progress", "symbols_per_s", "eta_s", "message")
_MAYBE = ("loss", "held_out_loss")


def read_config(message: pb.JobConfig) -> JobConfig:
    """What to train. What is absent keeps its default; what is unknown is refused."""
    values = read_struct(message.settings, "config.settings")
    twice = values.keys() & (_SETTINGS | {"streams"})
    if twice:
        name = min(twice)
        raise InvalidConfig(f"set {name} as a field, not in settings", "config.settings")
    values |= given(message, _SETTINGS)
    values["streams"] = [
        read_name("streams", name, f"config.streams[{at}]")
        for at, name in enumerate(message.streams)
    ]
    return parse(JobConfig, values, "config")


def write_config(config: JobConfig) -> pb.JobConfig:
    """The same on the wire, with every setting said."""
    values = config.model_dump(mode="json")
    streams = [f"streams/{name}" for name in values.pop("streams")]
    known = {name: value for name, value in values.items() if name in _SETTINGS}
    more = {name: value for name, value in values.items() if name not in _SETTINGS}
    settings = write_struct(more, "settings") if more else None
    return pb.JobConfig(streams=streams, settings=settings, **known)


def read_event(message: pb.JobEvent, job_id: str) -> JobEvent:
    """One report of a job."""
    return JobEvent(
        job_id, message.revision, read_time(message.time), _body(message).model_dump(mode="json")
    )


def _body(message: pb.JobEvent) -> Event:
    values: dict[str, Any] = {name: getattr(message, name) for name in _PLAIN}
    values |= {name: dict(getattr(message, name)) for name in _MAPS}
    return parse(
        Event,
        values
        | given(message, _MAYBE)
        | {
            "phase": read_enum(pb.JobPhase.DESCRIPTOR, message.phase, "phase"),
            "state": read_enum(pb.JobState.DESCRIPTOR, message.state, "state"),
            "warnings": list(message.warnings),
        },
    )


def write_event(event: JobEvent) -> pb.JobEvent:
    """The same on the wire."""
    body = parse(Event, dict(event.body))
    values = {name: getattr(body, name) for name in (*_PLAIN, *_MAPS, *_MAYBE, "warnings")}
    return pb.JobEvent(
        revision=event.revision,
        time=write_time(event.created_us),
        phase=write_enum(pb.JobPhase.DESCRIPTOR, body.phase, "phase"),
        state=write_enum(pb.JobState.DESCRIPTOR, body.state, "state"),
        **values,
    )


def read_job(message: pb.Job) -> Job:
    """A job as the catalogue knows it."""
    state = read_enum(pb.JobState.DESCRIPTOR, message.state, "state")
    wish = read_enum(pb.JobWish.DESCRIPTOR, message.wish, "wish")
    job_id = read_name("jobs", message.name)
    event = read_event(message.event, job_id).body if message.HasField("event") else None
    return Job(
        job_id=job_id,
        request_id=message.request_id,
        config=read_config(message.config).model_dump(mode="json"),
        state=cast(JobState, state),
        wish=cast(Wish, wish),
        revision=message.revision,
        created_us=read_time(message.create_time),
        updated_us=read_time(message.update_time),
        last_event=event,
    )


def write_job(job: Job) -> pb.Job:
    """The same on the wire."""
    event = None
    if job.last_event is not None:
        event = write_event(JobEvent(job.job_id, job.revision, job.updated_us, job.last_event))
    return pb.Job(
        name=f"jobs/{job.job_id}",
        config=write_config(parse(JobConfig, dict(job.config))),
        state=write_enum(pb.JobState.DESCRIPTOR, job.state, "state"),
        wish=write_enum(pb.JobWish.DESCRIPTOR, job.wish, "wish"),
        create_time=write_time(job.created_us),
        update_time=write_time(job.updated_us),
        revision=job.revision,
        event=event,
        request_id=job.request_id,
    )

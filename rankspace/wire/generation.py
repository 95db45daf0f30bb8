"""Sessions: what opens them, what is said in them, and the answers."""

from typing import Any

from rankspace.config import parse
from rankspace.errors import InvalidInput, NotBuilt
from rankspace.generation.request import (
    Ask,
    Delta,
    Embedding,
    Interrupt,
    PartScore,
    Sampling,
    Scores,
    SessionConfig,
    Target,
    Trace,
    Turn,
    Usage,
)
from rankspace.media.sample import Part
from rankspace.v1 import generation_pb2 as pb
from rankspace.v1 import media_pb2
from rankspace.wire.media import (
    read_encoding,
    read_modality,
    read_part,
    write_encoding,
    write_modality,
    write_part,
)
from rankspace.wire.names import read_version, write_reference
from rankspace.wire.values import given, read_enum

MARK = "mark"
"""The library's word for the modality of a symbol that belongs to none; unspecified on the wire."""

_SAMPLING = tuple(pb.Sampling.DESCRIPTOR.fields_by_name)
_USAGE = tuple(pb.Usage.DESCRIPTOR.fields_by_name)
_TRACE = tuple(name for name in pb.Trace.DESCRIPTOR.fields_by_name if name != "modality")


def read_setup(message: pb.GenerateSetup) -> SessionConfig:
    """How to open a session."""
    if message.resume_handle:
        raise NotBuilt(
            "sessions cannot be resumed yet; open a new one and send its parts again",
            "setup.resume_handle",
        )
    model = {"model": message.model} if message.model else {}
    return parse(SessionConfig, {**model, "trace": message.trace}, "setup")


def write_setup(config: SessionConfig) -> pb.GenerateSetup:
    """The same on the wire."""
    return pb.GenerateSetup(model=config.model, trace=config.trace)


def read_turn(message: pb.GenerateRequest) -> Turn:
    """What comes after the setup."""
    match message.WhichOneof("request"):
        case "part":
            return read_part(message.part)
        case "ask":
            return read_ask(message.ask)
        case "interrupt":
            return Interrupt()
        case "setup":
            raise InvalidInput("only the first message is a setup; open another call", "setup")
        case "piece":
            raise NotBuilt("growing media are not there yet; send the medium in one part", "piece")
    raise InvalidInput("the message is empty; send a part, ask or interrupt", "request")


def write_turn(turn: Turn) -> pb.GenerateRequest:
    """The same on the wire."""
    match turn:
        case Part():
            return pb.GenerateRequest(part=write_part(turn))
        case Ask():
            return pb.GenerateRequest(ask=write_ask(turn))
        case Interrupt():
            return pb.GenerateRequest(interrupt=pb.Interrupt())


def read_ask(message: pb.Ask) -> Ask:
    """What an answer shall be."""
    sampling = given(message.sampling, _SAMPLING)
    target = read_target(message.target, "ask.target")
    return Ask(target, parse(Sampling, sampling, "ask.sampling"))


def write_ask(ask: Ask) -> pb.Ask:
    """The same on the wire."""
    return pb.Ask(
        target=write_target(ask.target), sampling=pb.Sampling(**ask.sampling.model_dump())
    )


def read_target(message: pb.Target, path: str = "target") -> Target:
    """What can be asked for; `path` is where it stands in its request."""
    values = {
        "modality": read_modality(message.modality, f"{path}.modality"),
        "role": message.role,
        "encoding": read_encoding(message.encoding, f"{path}.encoding"),
    }
    return parse(Target, values, path)


def write_target(target: Target) -> pb.Target:
    """The same on the wire."""
    return pb.Target(
        modality=write_modality(target.modality),
        role=target.role,
        encoding=write_encoding(target.encoding),
    )


def read_delta(message: pb.Delta) -> Delta:
    """The next piece of an answer."""
    usage = None
    if message.HasField("usage"):
        usage = Usage(**{name: getattr(message.usage, name) for name in _USAGE})
    return Delta(
        sequence=message.sequence,
        modality=read_modality(message.modality, "delta.modality"),
        role=message.role,
        encoding=read_encoding(message.encoding, "delta.encoding"),
        data=message.data,
        final=message.final,
        replaces=message.replaces,
        traces=tuple(map(_read_trace, message.traces)),
        usage=usage,
    )


def write_delta(delta: Delta) -> pb.Delta:
    """The same on the wire."""
    usage = None
    if delta.usage is not None:
        usage = pb.Usage(**{name: getattr(delta.usage, name) for name in _USAGE})
    return pb.Delta(
        sequence=delta.sequence,
        modality=write_modality(delta.modality),
        role=delta.role,
        encoding=write_encoding(delta.encoding),
        data=delta.data,
        final=delta.final,
        replaces=delta.replaces,
        traces=map(_write_trace, delta.traces),
        usage=usage,
    )


def _read_trace(message: pb.Trace) -> Trace:
    values = {name: getattr(message, name) for name in _TRACE}
    values["block_shares"] = tuple(message.block_shares)
    modality = read_enum(media_pb2.Modality.DESCRIPTOR, message.modality, "trace.modality")
    return Trace(modality=modality or MARK, **values)


def _write_trace(trace: Trace) -> pb.Trace:
    values: dict[str, Any] = {name: getattr(trace, name) for name in _TRACE}
    modality = write_modality("" if trace.modality == MARK else trace.modality)
    return pb.Trace(modality=modality, **values)


def read_embedding(message: pb.EmbedResponse) -> Embedding:
    """A vector."""
    return Embedding(tuple(message.vector), read_version(message.model_version))


def write_embedding(embedding: Embedding) -> pb.EmbedResponse:
    """The same on the wire."""
    return pb.EmbedResponse(vector=embedding.vector, model_version=write_reference(embedding.model))


def read_scores(message: pb.ScoreResponse) -> Scores:
    """How well parts were predicted."""
    parts = (PartScore(score.symbols, score.bits, score.prior_bits) for score in message.scores)
    return Scores(tuple(parts), read_version(message.model_version))


def write_scores(scores: Scores) -> pb.ScoreResponse:
    """The same on the wire."""
    parts = [
        pb.PartScore(symbols=part.symbols, bits=part.bits, prior_bits=part.prior_bits)
        for part in scores.parts
    ]
    return pb.ScoreResponse(scores=parts, model_version=write_reference(scores.model))

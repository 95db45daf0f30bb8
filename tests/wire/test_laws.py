"""The law of the wire: what goes in comes out."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rankspace.errors import InvalidInput
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
    Usage,
)
from rankspace.media.sample import MODALITIES, Frame, Part, Sample
from rankspace.store.entries import (
    Alias,
    Job,
    JobEvent,
    ModelVersion,
    Refusal,
    Rejected,
    Retention,
    Stream,
    StreamChange,
)
from rankspace.store.growing import Abandon, Begin, Chunk, End, Grown, Head
from rankspace.training.job import Event, JobConfig
from rankspace.v1 import media_pb2
from rankspace.wire import generation, growing, ingestion, media, models, training
from rankspace.wire.values import read_time, write_time

names = st.from_regex(r"[a-z0-9][a-z0-9-]{0,62}", fullmatch=True)
texts = st.text(st.characters(codec="utf-8"), max_size=12)
bytes_ = st.binary(max_size=20)
int64 = st.integers(-(2**63), 2**63 - 1)
counts = st.integers(0, 2**63 - 1)
small = st.integers(0, 2**31 - 1)
floats = st.floats(allow_nan=False, allow_infinity=False)
times = st.integers(-62_135_596_800_000_000, 253_402_300_799_999_999)
roles = st.from_regex(r"[a-z0-9_-]{0,8}", fullmatch=True)
figures = st.dictionaries(texts, floats, max_size=3)
hexes = st.from_regex(r"[0-9a-f]{64}", fullmatch=True)
encodings = st.sampled_from(["", *(name[9:].lower() for name in media_pb2.Encoding.keys()[1:])])

whole_parts = st.one_of(
    st.builds(Part, st.just("text"), bytes_, role=roles),
    st.builds(
        Part, st.just("audio"), bytes_, encodings, roles, rate_hz=small, channels=small
    ),
    st.builds(Part, st.just("image"), bytes_, encodings, roles),
    st.builds(
        Part, st.just("video"), bytes_, encodings, roles,
        frames=st.lists(st.builds(Frame, int64, bytes_), max_size=3).map(tuple),
    ),
)  # fmt: skip
parts = st.builds(replace, whole_parts, start_us=st.just(0) | int64)
samples = st.builds(
    Sample,
    texts,
    st.lists(parts, max_size=3).map(tuple),
    int64,
    st.dictionaries(texts, texts, max_size=3),
)
targets = st.builds(
    Target, modality=st.sampled_from(MODALITIES), role=roles,
    encoding=st.sampled_from(["", "wav", "pcm_s16le", "png", "mp4", "gif"]),
)  # fmt: skip
samplings = st.builds(
    Sampling,
    beta=st.floats(1e-3, 1000),
    entropy_target=st.none() | st.floats(0, 20),
    cut=st.floats(0, 1),
    seed=counts,
    max_symbols=st.integers(0, 8192),
    greedy=st.booleans(),
)
configs = st.builds(
    JobConfig,
    streams=st.lists(names, min_size=1, max_size=3).map(tuple),
    model=names,
    alias=names | st.just(""),
    steps=st.integers(1, 1_000_000),
    learning_rate=st.floats(0.01, 10),
    seed=counts,
    augment=st.booleans(),
)
events = st.builds(
    Event, loss=st.none() | floats, held_out_loss=st.none() | floats, source_losses=figures,
    betas=figures, step=counts, progress=st.floats(0, 1), message=texts,
    warnings=st.lists(texts, max_size=2).map(tuple),
)  # fmt: skip
bodies = events.map(lambda event: event.model_dump(mode="json"))
jobs = st.builds(
    Job, job_id=names, request_id=texts,
    config=configs.map(lambda config: config.model_dump(mode="json")),
    state=..., wish=..., revision=counts, created_us=times, updated_us=times,
    last_event=st.none() | bodies,
)  # fmt: skip
streams = st.builds(
    Stream, name=names, description=texts, labels=st.dictionaries(texts, texts, max_size=2),
    created_us=times, finalized=st.booleans(), next_offset=counts, rejected=counts, bytes=counts,
    epoch=counts, digest=hexes, retention=st.builds(Retention, counts, counts), first_kept=counts,
    kept_bytes=counts, strip_metadata=st.booleans(),
)  # fmt: skip
versions = st.builds(lambda name, number: f"{name}@{number}", names, st.integers(1, 10**17))
modality_or_mark = st.sampled_from([*MODALITIES, generation.MARK])
traces = st.builds(
    Trace, symbol=small, modality=modality_or_mark, rank=small, prior_rank=small, log_prob=floats,
    log_prior=floats, beta=floats, entropy=floats, kept=small,
    block_shares=st.lists(floats, max_size=3).map(tuple),
)  # fmt: skip
usages = st.builds(
    Usage, prompt_parts=counts, prompt_symbols=counts, answer_symbols=counts,
    seconds_to_first=floats, seconds=floats, interrupted=st.booleans(),
)  # fmt: skip
deltas = st.builds(
    Delta, sequence=counts, modality=st.sampled_from(MODALITIES), role=roles, encoding=encodings,
    data=bytes_, final=st.booleans(), replaces=st.booleans(),
    traces=st.lists(traces, max_size=2).map(tuple), usage=st.none() | usages,
)  # fmt: skip
asks = st.builds(Ask, targets, samplings)
aliases = st.builds(
    Alias, alias=names, name=names, version=st.integers(1, 10**17), revision=counts,
    rolled_back=st.booleans(), moved_us=times, history=st.lists(versions, max_size=2).map(tuple),
)  # fmt: skip
stored = st.one_of(
    samples, st.builds(Rejected, texts, st.just("MALFORMED_MEDIA"), texts, st.none())
)
json_facts = st.dictionaries(names, texts | st.booleans() | st.integers(0, 2**52), max_size=3)
sources = st.fixed_dictionaries({"stream": names, "start": counts, "stop": counts, "digest": hexes})
lineages = st.fixed_dictionaries({
    "job": names, "snapshot": st.fixed_dictionaries({"sources": st.lists(sources, max_size=2)}),
    "config": json_facts, "parent": versions | st.just(""), "software": texts, "metrics": figures,
    "targets": st.lists(targets.map(lambda target: target.model_dump()), max_size=2),
})  # fmt: skip
registered = st.builds(
    ModelVersion, name=names, version=st.integers(1, 10**17), folder=st.just(Path()),
    files=st.dictionaries(texts, hexes, max_size=2), lineage=lineages, created_us=times,
)  # fmt: skip


@given(value=samples)
def test_samples_cross_the_wire(value: Sample) -> None:
    assert media.read_sample(media.write_sample(value)) == value


@given(value=st.tuples(counts, stored))
def test_stored_samples_cross_the_wire(value: tuple[int, Sample | Rejected]) -> None:
    assert ingestion.read_stored(ingestion.write_stored(*value)) == value


@given(value=streams)
def test_streams_cross_the_wire(value: Stream) -> None:
    assert ingestion.read_stream(ingestion.write_stream(value)) == value


media_ids = st.from_regex(r"[A-Za-z0-9._-]{1,64}", fullmatch=True)
heads = st.builds(
    Head, st.sampled_from(MODALITIES), encodings, roles, small, small,
    st.integers(0, 253_402_300_799_999_999),
)  # fmt: skip
steps = st.one_of(
    st.builds(Begin, media_ids, heads),
    st.builds(Chunk, media_ids, st.integers(0, 2**30), st.binary(min_size=1, max_size=20)),
    st.builds(End, media_ids, counts, st.binary(min_size=32, max_size=32) | st.just(b"")),
    st.builds(Abandon, media_ids),
)


@given(value=steps)
def test_steps_of_growing_media_cross_the_wire(value: Any) -> None:
    assert growing.read_step(growing.write_step(value), 2**31, 20) == value


@given(value=st.builds(Grown, media_ids, counts, st.booleans(), st.booleans()))
def test_how_far_media_have_come_crosses_the_wire(value: Grown) -> None:
    assert growing.read_state(growing.write_state(value)) == value


@given(
    value=st.builds(
        StreamChange,
        st.none() | texts,
        st.none() | st.dictionaries(texts, texts, max_size=2),
        st.none() | st.builds(Retention, counts, counts),
    )
)
def test_changes_of_streams_cross_the_wire(value: StreamChange) -> None:
    assert ingestion.read_change(ingestion.write_change("s", value)) == value


@given(
    value=st.builds(Refusal, counts, texts, names, texts, texts, times, st.just(b""), size=counts)
)
def test_kept_refusals_cross_the_wire(value: Refusal) -> None:
    assert ingestion.read_reject(ingestion.write_reject(value, 3)) == value


@given(value=configs)
def test_job_configs_cross_the_wire(value: JobConfig) -> None:
    assert training.read_config(training.write_config(value)) == value


@given(value=jobs)
def test_jobs_cross_the_wire(value: Job) -> None:
    assert training.read_job(training.write_job(value)) == value


@given(value=st.builds(JobEvent, names, counts, times, bodies))
def test_job_events_cross_the_wire(value: JobEvent) -> None:
    assert training.read_event(training.write_event(value), value.job_id) == value


@given(value=st.one_of(parts, asks, st.just(Interrupt())))
def test_turns_cross_the_wire(value: Any) -> None:
    assert generation.read_turn(generation.write_turn(value)) == value


@given(value=st.builds(SessionConfig, model=names, trace=st.booleans()))
def test_openings_cross_the_wire(value: SessionConfig) -> None:
    assert generation.read_setup(generation.write_setup(value)) == value


@given(value=deltas)
def test_deltas_cross_the_wire(value: Delta) -> None:
    assert generation.read_delta(generation.write_delta(value)) == value


@given(value=st.builds(Scores, st.lists(st.builds(PartScore, counts, floats, floats)).map(tuple),
                       versions))  # fmt: skip
def test_scores_cross_the_wire(value: Scores) -> None:
    assert generation.read_scores(generation.write_scores(value)) == value


@given(value=st.builds(Embedding, st.lists(st.floats(width=32, allow_nan=False)).map(tuple),
                       versions))  # fmt: skip
def test_embeddings_cross_the_wire(value: Embedding) -> None:
    assert generation.read_embedding(generation.write_embedding(value)) == value


@given(value=aliases)
def test_aliases_cross_the_wire(value: Alias) -> None:
    assert models.read_alias(models.write_alias(value)) == value


@given(value=registered, facts=json_facts)
def test_models_cross_the_wire_without_their_folder(
    value: ModelVersion, facts: dict[str, Any]
) -> None:
    lineage = {f"x-{name}": fact for name, fact in facts.items()} | dict(value.lineage)
    sent = ModelVersion(
        value.name, value.version, Path("anywhere"), value.files, lineage, value.created_us
    )
    got = models.read_model(models.write_model(sent, {}))
    assert got.lineage == lineage
    assert (got.reference, got.files, got.created_us, got.folder) == (
        value.reference, value.files, value.created_us, Path(),
    )  # fmt: skip


@given(time_us=times)
def test_times_cross_the_wire(time_us: int) -> None:
    assert read_time(write_time(time_us)) == time_us


@given(
    wanted=st.builds(
        ingestion.Filter,
        st.frozensets(st.sampled_from(MODALITIES)),
        st.frozensets(roles),
        st.dictionaries(texts, texts),
        st.booleans(),
    )
)
def test_filters_cross_the_wire(wanted: ingestion.Filter) -> None:
    assert ingestion.read_filter(ingestion.write_filter(wanted)) == wanted


@given(batch=st.lists(samples, max_size=3), offset=st.none() | counts)
def test_batches_carry_their_hash(batch: list[Sample], offset: int | None) -> None:
    message = ingestion.write_batch(batch, offset)
    ingestion.check_hash(message)
    assert ingestion.read_offset(message) == offset
    message.content_blake3 = bytes(32)
    with pytest.raises(InvalidInput, match="send the batch again"):
        ingestion.check_hash(message)

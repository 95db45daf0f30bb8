"""Sessions: anything is answered in anything, and what was said is history like what was heard."""

import itertools
import math

import numpy as np
import pytest
import torch

from rankspace.codecs.base import Symbols
from rankspace.errors import InvalidInput, LimitExceeded, MalformedMedia, UnknownModality
from rankspace.generation.engine import Generator, inputs
from rankspace.generation.request import Delta, Encoding, Sampling, Target
from rankspace.generation.session import Session
from rankspace.media.clip import Clip
from rankspace.media.decode import media
from rankspace.media.encode import wav_header
from rankspace.media.limits import Limits
from rankspace.media.sample import MODALITIES, Modality, Part
from rankspace.ranks.space import Reading
from tests.model.networks import awake
from tests.worlds import codecs, part, space

MODEL = Generator(awake(), space())
GREEDY = Sampling(greedy=True, max_symbols=40)
DRAWN = Sampling(seed=3, max_symbols=40, beta=0.3)
ENCODINGS: list[tuple[Modality, Encoding]] = [
    ("text", ""), ("audio", "wav"), ("audio", "pcm_s16le"), ("image", "png"), ("video", "mp4"),
    ("video", "gif"),
]  # fmt: skip
MODALITY = pytest.mark.parametrize("modality", MODALITIES)


def begun(*parts: Part, capacity: int = 500) -> Session:
    session = MODEL.session(capacity)
    for each in parts:
        session.hear(each)
    return session


def answer(session: Session, target: Target, sampling: Sampling = DRAWN) -> list[Delta]:
    return list(session.speak(target, sampling))


def said(deltas: list[Delta]) -> bytes:
    """The answer, as a client puts it together."""
    data = b""
    for delta in deltas:
        data = delta.data if delta.replaces else data + delta.data
    return data


def symbols_of(deltas: list[Delta], modality: Modality) -> Symbols:
    """What was said, from its traces."""
    ids = [trace.symbol for delta in deltas for trace in delta.traces if trace.modality != "mark"]
    layout = codecs()[modality].layout
    return space().vocabulary.to_local(layout, np.array(ids, np.int32))


def remembered(session: Session) -> torch.Tensor:
    """Keys and values of all that a session holds."""
    layers = session._cache.layers
    held = [(each.keys[:, :, : each.length], each.values[:, :, : each.length]) for each in layers]
    return torch.stack([torch.stack(pair) for pair in held])


@pytest.mark.parametrize("heard", MODALITIES)
@pytest.mark.parametrize(("modality", "encoding"), ENCODINGS)
@pytest.mark.parametrize("sampling", [GREEDY, DRAWN], ids=["greedy", "drawn"])
def test_anything_is_answered_in_anything(
    heard: Modality, modality: Modality, encoding: Encoding, sampling: Sampling
) -> None:
    session = begun(part(heard, 1))
    target = Target(modality=modality, encoding=encoding)
    deltas = answer(session, target, sampling)
    data, usage = said(deltas), deltas[-1].usage
    assert usage is not None
    if modality == "text":
        assert data.decode()
    elif encoding == "pcm_s16le":
        assert len(data) == 2 * 640 * (usage.answer_symbols // 2)
    else:
        found = media(Part(modality, data, encoding), Limits())
        if isinstance(found, Clip):
            assert found.frames
    assert 0 < usage.answer_symbols <= 40
    assert (usage.prompt_parts, usage.interrupted) == (1, False)
    assert usage.prompt_symbols == len(MODEL.reading(part(heard, 1)).ids)
    assert 0 <= usage.seconds_to_first <= usage.seconds


@MODALITY
def test_deltas_are_numbered_and_the_last_one_alone_is_final(modality: Modality) -> None:
    session = begun(part("text"))
    target = Target(modality=modality)
    deltas = answer(session, target) + answer(session, target)
    assert [delta.sequence for delta in deltas] == list(range(len(deltas)))
    finals = [delta for delta in deltas if delta.final]
    assert [delta for delta in deltas if delta.usage] == finals
    assert len(finals) == 2
    assert finals[-1] is deltas[-1]
    assert {(delta.modality, delta.role) for delta in deltas} == {(modality, "")}


@MODALITY
@pytest.mark.parametrize("sampling", [GREEDY, DRAWN], ids=["greedy", "drawn"])
def test_the_same_history_and_seed_give_the_same_answer(
    modality: Modality, sampling: Sampling
) -> None:
    target = Target(modality=modality)
    one, two = (said(answer(begun(part("image")), target, sampling)) for _ in range(2))
    assert one == two


def test_another_seed_gives_another_answer() -> None:
    target = Target(modality="text")
    answers = {
        said(answer(begun(part("image")), target, DRAWN.model_copy(update={"seed": seed})))
        for seed in range(4)
    }
    assert len(answers) == 4


def test_greedy_asks_for_no_seed_beta_or_cut() -> None:
    target = Target(modality="text")
    other = GREEDY.model_copy(update={"seed": 9, "beta": 0.01, "cut": 0.5})
    one, two = (said(answer(begun(part("image")), target, each)) for each in (GREEDY, other))
    assert one == two


@MODALITY
@pytest.mark.parametrize("limit", [1, 2, 3, 7, 40])
def test_what_was_said_is_remembered_like_what_was_heard(modality: Modality, limit: int) -> None:
    session = begun(part("text"), part("image"))
    sampling = DRAWN.model_copy(update={"max_symbols": limit})
    deltas = list(session.speak(Target(modality=modality), sampling, trace=True))
    own = space().read(modality, "", symbols_of(deltas, modality))
    readings = [MODEL.reading(part("text")), MODEL.reading(part("image")), own]
    cache = MODEL.network.cache(500)
    with torch.inference_mode():
        MODEL.network.states(inputs(readings, 0), cache=cache)
    other = MODEL.session(500)
    other._cache = cache
    torch.testing.assert_close(remembered(session), remembered(other), rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("modality", ["text", "audio", "image"])
def test_an_answer_that_is_stopped_is_remembered_as_far_as_it_was_said(modality: Modality) -> None:
    session = begun(part("text"))
    speaking = session.speak(Target(modality=modality), DRAWN, trace=True)
    deltas = list(itertools.islice(speaking, 1))
    final = session.stop(speaking)
    assert final.final
    assert final.data == b""
    assert final.usage is not None
    assert final.usage.interrupted
    assert final.sequence == deltas[-1].sequence + 1
    ids = symbols_of([*deltas, final], modality)
    assert final.usage.answer_symbols == len(ids)
    own = space().read(modality, "", ids)
    assert session._cache.length == len(MODEL.reading(part("text")).ids) + len(own.ids)
    assert answer(session, Target(modality="text"))[-1].final


def test_nothing_can_be_stopped_twice() -> None:
    session = begun(part("text"))
    speaking = session.speak(Target(modality="text"), DRAWN)
    next(speaking)
    session.stop(speaking)
    with pytest.raises(RuntimeError, match="no answer was begun"):
        session.stop(speaking)


@pytest.mark.parametrize("limit", [0, 1, 4, 5, 6, 40])
@pytest.mark.parametrize("sampling", [GREEDY, DRAWN], ids=["greedy", "drawn"])
def test_pictures_end_whole_and_grow_row_by_row(limit: int, sampling: Sampling) -> None:
    sampling = sampling.model_copy(update={"max_symbols": limit})
    deltas = answer(begun(part("text")), Target(modality="image"), sampling)
    assert deltas[-1].usage is not None
    assert deltas[-1].usage.answer_symbols == codecs()["image"].cycle
    pictures = [media(Part("image", delta.data), Limits()) for delta in deltas if delta.data]
    assert [picture.shape for picture in pictures if isinstance(picture, np.ndarray)] == [
        (8, 8, 3)
    ] * len(pictures)
    assert all(delta.replaces for delta in deltas if delta.data)
    first, *_, last = pictures
    assert isinstance(first, np.ndarray)
    assert isinstance(last, np.ndarray)
    assert np.array_equal(first[:4], last[:4])
    assert (first[4:] == 255).all()


def test_text_is_whole_characters_from_delta_to_delta() -> None:
    for seed in range(8):
        sampling = Sampling(seed=seed, max_symbols=60, beta=0.01)  # bytes that are no UTF-8 too
        for delta in answer(begun(part("audio")), Target(modality="text"), sampling):
            delta.data.decode()


def test_a_wav_begins_with_its_header_and_says_it_once() -> None:
    target = Target(modality="audio")
    deltas = answer(begun(part("text")), target)
    assert said(deltas).startswith(wav_header())
    assert said(deltas).count(b"RIFF") == 1
    raw = Target(modality="audio", encoding="pcm_s16le")
    assert said(answer(begun(part("text")), raw)) == said(deltas).removeprefix(wav_header())


def test_no_more_is_held_than_the_capacity() -> None:
    used = len(MODEL.reading(part("text")).ids)
    session = begun(part("text"), capacity=used + 5)
    before = remembered(session).clone()
    with pytest.raises(LimitExceeded, match="open a new session or send less"):
        session.hear(part("text"))
    assert torch.equal(remembered(session), before)
    with pytest.raises(LimitExceeded):
        answer(session, Target(modality="image"))


def test_what_was_not_learnt_is_refused_with_what_was() -> None:
    session = begun(part("text"))
    with pytest.raises(UnknownModality, match=r"not learnt text/de; it knows .*text/en, text/ru"):
        answer(session, Target(modality="text", role="de"))
    with pytest.raises(UnknownModality, match="not learnt image/photo"):
        session.hear(part("image", role="photo"))


def test_an_encoding_of_another_modality_is_refused() -> None:
    with pytest.raises(InvalidInput, match="audio is answered in wav or pcm_s16le"):
        answer(begun(), Target(modality="audio", encoding="png"))


def test_what_cannot_be_read_changes_no_history() -> None:
    session = begun(part("text"))
    before = session._cache.length
    with pytest.raises(MalformedMedia):
        session.hear(Part("image", b"no picture"))
    assert session._cache.length == before


def test_a_session_needs_no_prompt() -> None:
    assert answer(begun(), Target(modality="text"))[-1].final


@MODALITY
def test_a_trace_tells_the_numbers_a_symbol_was_chosen_by(modality: Modality) -> None:
    session = begun(part("text"))
    deltas = list(session.speak(Target(modality=modality), DRAWN, trace=True))
    traces = [trace for delta in deltas for trace in delta.traces]
    heard = MODEL.reading(part("text"))
    own = space().read(modality, "", symbols_of(deltas, modality))
    told = _oracle([heard, own])[len(heard.ids) :]
    doors = space().alphabets_of(modality, len(own.ids) - 2)
    network = MODEL.network
    assert network.log_beta is not None
    for trace, mixed, before, door in zip(traces, told, own.ids, doors, strict=False):
        chosen = MODEL.readout.doors[door]
        at = int(chosen.local[trace.symbol])
        assert trace.log_prior == pytest.approx(float(chosen.bigram[before, at]))
        assert trace.prior_rank == int((chosen.bigram[before] > chosen.bigram[before, at]).sum())
        assert len(trace.block_shares) == 2
        part_of_logit = network.log_beta.exp() * (MODEL.unembedding[trace.symbol] @ mixed)
        assert sum(trace.block_shares) == pytest.approx(float(part_of_logit), rel=1e-3, abs=1e-3)
        assert trace.log_prob <= 1e-6
        assert 0 <= trace.rank < trace.kept <= len(chosen.ids)
        assert trace.beta == pytest.approx(0.3)
        assert 0 <= trace.entropy <= math.log(len(chosen.ids)) + 1e-9
    assert [trace.modality for trace in traces[: len(own.ids) - 2]].count("mark") == 0


def _oracle(readings: list[Reading]) -> torch.Tensor:
    """[T, D] what the blocks say after each symbol, read at once."""
    with torch.inference_mode():
        return MODEL.network.mix(MODEL.network.states(inputs(readings, 0)))[0]


def test_without_being_asked_for_nothing_is_traced() -> None:
    assert not any(delta.traces for delta in answer(begun(part("text")), Target(modality="text")))


def test_the_plain_preset_answers_too_and_has_no_shares() -> None:
    plain = Generator(awake("gpt2"), space()).session(200)
    plain.hear(part("image"))
    deltas = list(plain.speak(Target(modality="text", role="ru"), DRAWN, trace=True))
    assert deltas[-1].final
    assert {t.block_shares for delta in deltas for t in delta.traces} == {()}

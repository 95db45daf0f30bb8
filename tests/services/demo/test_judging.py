"""Judges mark real answers right and others wrong, and say how far they can be trusted."""

from dataclasses import replace

import pytest

from rankspace.media import decode, encode
from rankspace.media.sample import Part
from services.demo.judging import Judges
from services.demo.questions import LIMITS, WORDS, Question, questions
from services.demo.sample import STREAMS, samples

SAMPLES = {name: tuple(samples(name)) for name in STREAMS}
ASKED = questions(SAMPLES)


@pytest.fixture(scope="module")
def judges() -> Judges:
    return Judges(SAMPLES)


def question(group: str, wanted: str = "") -> Question:
    return next(one for one in ASKED if one.group == group and wanted in ("", one.wanted))


def said(text: str) -> Part:
    return Part("text", text.encode())


def real(stream: str, word: str, modality: str, role: str) -> Part:
    return next(
        part
        for one in SAMPLES[stream]
        if word in [each.data.decode() for each in one.parts if each.modality == "text"]
        for part in one.parts
        if (part.modality, part.role) == (modality, role)
    )


def test_a_text_is_right_if_it_says_the_same(judges: Judges) -> None:
    asked = question("image_to_text", "seven")
    assert judges.judge(asked, said("seven")).right is True
    assert judges.judge(asked, said(" seven\n")).right is True
    assert judges.judge(asked, said("seve")).right is False


def test_no_continuation_is_wrong(judges: Judges) -> None:
    assert judges.judge(question("continuation"), said("whatever")).right is None


@pytest.mark.parametrize("word", WORDS)
def test_a_real_digit_is_read_as_its_word(judges: Judges, word: str) -> None:
    marked = judges.judge(question("text_to_image", word), real("digits", word, "image", "digit"))
    assert marked.right is True
    other = WORDS[WORDS.index(word) - 1]
    assert judges.judge(question("text_to_image", other), marked.answer).right is False


@pytest.mark.parametrize("word", WORDS)
def test_a_real_spoken_digit_is_heard_as_its_word(judges: Judges, word: str) -> None:
    clip = real("spoken", word, "audio", "en")
    wave = encode.wav(decode.audio(clip, LIMITS))
    marked = judges.judge(question("text_to_audio", word), Part("audio", wave, "wav"))
    assert (marked.right, marked.judged) == (True, word)


def test_a_spoken_caption_is_compared_with_all_captions(judges: Judges) -> None:
    asked = question("photo_to_speech")
    clip = real("photos", asked.wanted, "audio", "ru")
    assert judges.judge(asked, clip).right is True
    assert judges.judge(replace(asked, wanted="Зебра."), clip).right is False


def test_silence_is_wrong(judges: Judges) -> None:
    marked = judges.judge(question("text_to_audio"), Part("audio", b"", "wav"))
    assert (marked.right, marked.judged) == (False, "")


def test_the_judges_are_better_than_what_they_are_to_judge(judges: Judges) -> None:
    trust = judges.trust()
    assert trust["digit_judge_held_out_acc"] >= 0.95
    assert trust["speech_judge_bent_acc"] >= 0.85
    assert trust["speech_judge_other_voice_acc"] >= 0.5

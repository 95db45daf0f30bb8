"""The demo asks what it says: held-out digits, known media bent, every word often enough."""

from collections import Counter

import pytest

from rankspace.media import decode
from services.demo.questions import GROUPS, LIMITS, Question, questions
from services.demo.sample import STREAMS, samples

SAMPLES = {name: tuple(samples(name)) for name in STREAMS}
ALL = questions(SAMPLES)
BY_GROUP = {name: [one for one in ALL if one.group == name] for name in GROUPS}


def test_every_group_is_asked_and_nothing_else() -> None:
    assert {one.group for one in ALL} == set(GROUPS)


def test_the_handwritten_digits_are_those_that_never_trained() -> None:
    trained = {one.parts[0].data for one in SAMPLES["digits"] if one.labels["split"] == "train"}
    asked = BY_GROUP["image_to_text"]
    assert len(asked) == 400
    assert not trained & {one.prompt.data for one in asked}
    assert set(Counter(one.wanted for one in asked).values()) == {40}


@pytest.mark.parametrize(("group", "least"), [("text_to_image", 100), ("text_to_audio", 40)])
def test_every_word_is_drawn_and_spoken_equally_often_and_never_twice_alike(
    group: str, least: int
) -> None:
    asked = BY_GROUP[group]
    assert len(asked) >= least
    assert len(set(Counter(one.wanted for one in asked).values())) == 1
    assert len({(one.wanted, one.sampling.seed) for one in asked}) == len(asked)


def test_no_known_photo_or_sound_is_asked_about_as_it_was_sent() -> None:
    sent = {part.data for ones in SAMPLES.values() for one in ones for part in one.parts}
    for group, count in (("known_photo", 4 * 48), ("known_speech", 126)):
        assert len({one.prompt.data for one in BY_GROUP[group]}) == len(BY_GROUP[group]) == count
        for one in BY_GROUP[group]:
            assert one.prompt.data not in sent
            assert one.wanted


def test_the_right_answers_of_known_speech_are_of_the_role_asked_for() -> None:
    roles = Counter((one.prompt.role, one.target.role) for one in BY_GROUP["known_speech"])
    assert roles == {("ru", "ru"): 68, ("en", "en"): 48, ("en", "word"): 10}


def test_every_prompt_is_media_that_the_server_takes() -> None:
    for one in ALL[::7]:
        getattr(decode, one.prompt.modality)(one.prompt, LIMITS)


def test_the_questions_are_the_same_every_time() -> None:
    def few(group: str) -> list[Question]:
        return list(GROUPS[group](SAMPLES))[:5]

    for group in GROUPS:
        assert few(group) == BY_GROUP[group][:5]

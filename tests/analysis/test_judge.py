"""Judges can be trusted as far as they say, and their distance is one."""

from functools import cache

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from rankspace.analysis.distortion import SpeechDistortion, bent_speech
from rankspace.analysis.judge import DigitJudge, SpeechJudge, log_mel, warped_distance
from rankspace.media import decode
from rankspace.media.limits import Limits
from services.demo.sample import samples

Wave = NDArray[np.float32]
seeds = st.integers(0, 2**32 - 1)


def wave(seed: int, length: int = 4000) -> Wave:
    rng = np.random.default_rng(seed)
    tones = np.cumsum(rng.uniform(0, 1, length))
    return (0.5 * np.sin(tones) + rng.normal(0, 0.01, length)).astype(np.float32)


@cache
def spoken(voice: str) -> dict[str, list[Wave]]:
    clips: dict[str, list[Wave]] = {}
    for sample in samples("spoken"):
        if sample.labels["voice"] == voice:
            word = sample.parts[1].data.decode()
            clips.setdefault(word, []).append(decode.audio(sample.parts[0], Limits()))
    return clips


@given(seeds, seeds)
def test_the_distance_is_symmetric_and_zero_only_for_the_same(one: int, other: int) -> None:
    a, b = log_mel(wave(one)), log_mel(wave(other, 3000))
    assert warped_distance(a, b) == pytest.approx(warped_distance(b, a))
    assert warped_distance(a, a) == pytest.approx(0, abs=1e-5)
    assert warped_distance(a, b) > 0


@given(seeds, st.integers(2, 4))
def test_holding_frames_costs_nothing(seed: int, times: int) -> None:
    mel = log_mel(wave(seed))
    assert warped_distance(mel, np.repeat(mel, times, axis=0)) == pytest.approx(0, abs=1e-5)


@given(seeds, st.floats(0.1, 1.0))
def test_loudness_does_not_matter(seed: int, gain: float) -> None:
    sound = wave(seed)
    quiet = (sound * np.float32(gain)).astype(np.float32)
    assert np.allclose(log_mel(sound), log_mel(quiet), atol=1e-3)


def test_the_digit_judge_knows_real_digits_it_has_not_learnt() -> None:
    digits = list(samples("digits"))
    seen = [one for one in digits if one.labels["split"] == "train"][:800]
    unseen = [one for one in digits if one.labels["split"] == "valid"]
    pictures, labels = (
        [[decode.image(one.parts[0], Limits()) for one in part] for part in (seen, unseen)],
        [[int(one.labels["digit"]) for one in part] for part in (seen, unseen)],
    )
    judge = DigitJudge(pictures[0], labels[0])
    assert judge.accuracy(pictures[1], labels[1]) > 0.95
    assert judge.digits([]) == []


def test_the_speech_judge_hears_its_words_again_under_distortion() -> None:
    known = spoken("asterisk-en")
    judge = SpeechJudge(known)
    rng = np.random.default_rng(0)
    bend = SpeechDistortion(tempo=(0.85, 1.15), snr_db=(20.0, 30.0))
    again = {word: [bent_speech(one, rng, bend) for one in waves] for word, waves in known.items()}
    assert judge.accuracy(again) >= 0.9
    assert judge.accuracy({}) == 0


def test_the_speech_judge_hears_a_voice_it_does_not_know_better_than_chance() -> None:
    assert SpeechJudge(spoken("asterisk-ru")).accuracy(spoken("tuxpaint-ru")) >= 0.5

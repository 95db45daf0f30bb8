"""From answers to marks: what is right, who says so, and how far they can be believed."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from rankspace.analysis.distortion import SpeechDistortion, bent_speech
from rankspace.analysis.judge import DigitJudge, Picture, SpeechJudge, Wave
from rankspace.media import decode
from rankspace.media.sample import Part, Sample
from services.demo.questions import LIMITS, SEED, WORDS, Question, Samples, held_out, part, text

HARD = SpeechDistortion(tempo=(0.85, 1.18), snr_db=(15.0, 25.0))
"""What the speech judge is tried with."""


@dataclass(frozen=True, slots=True)
class Answered:
    """A question, its answer, and what is said of it."""

    question: Question
    answer: Part
    right: bool | None
    """None: there is no single right answer."""

    judged: str
    """What the answer says, or what a judge saw or heard."""


class Judges:
    """Both judges, taught from the real media of the sample."""

    def __init__(self, samples: Samples) -> None:
        seen, self._unseen = (
            [one for one in samples["digits"] if held_out(one) is valid] for valid in (False, True)
        )
        self._digits = DigitJudge(*_pictures(seen))
        self._voices = _voices(samples["spoken"])
        self._words = SpeechJudge(self._voices["asterisk-en"])
        self._captions = SpeechJudge(_captions(samples["photos"]))

    def trust(self) -> dict[str, float]:
        """Each judge's accuracy on real media that it has not learnt."""
        rng = np.random.default_rng(SEED + 3)
        bent = {
            word: [bent_speech(wave, rng, HARD) for wave in waves for _ in range(3)]
            for word, waves in self._voices["asterisk-en"].items()
        }
        one, other = self._voices["asterisk-ru"], self._voices["tuxpaint-ru"]
        across = (SpeechJudge(one).accuracy(other) + SpeechJudge(other).accuracy(one)) / 2
        return {
            "digit_judge_held_out_acc": self._digits.accuracy(*_pictures(self._unseen)),
            "speech_judge_bent_acc": self._words.accuracy(bent),
            "speech_judge_other_voice_acc": across,
        }

    def judge(self, question: Question, answer: Part) -> Answered:
        """Mark one answer."""
        said = self._read(question, answer)
        right = None if question.group == "continuation" else said == question.wanted
        return Answered(question, answer, right, said)

    def _read(self, question: Question, answer: Part) -> str:
        if answer.modality == "text":
            return answer.data.decode("utf-8", "replace").strip()
        if not answer.data:
            return ""
        if answer.modality == "image":
            return WORDS[self._digits.digits([decode.image(answer, LIMITS)])[0]]
        known = self._words if question.group == "text_to_audio" else self._captions
        return known.word(decode.audio(answer, LIMITS))


def _pictures(samples: Sequence[Sample]) -> tuple[list[Picture], list[int]]:
    digits = [WORDS.index(text(sample, "word")) for sample in samples]
    return [decode.image(sample.parts[0], LIMITS) for sample in samples], digits


def _voices(samples: Sequence[Sample]) -> Mapping[str, Mapping[str, list[Wave]]]:
    """Word → clips, by voice."""
    voices: defaultdict[str, dict[str, list[Wave]]] = defaultdict(dict)
    for sample in samples:
        sound, word = sample.parts
        clips = voices[sample.labels["voice"]].setdefault(word.data.decode(), [])
        clips.append(decode.audio(sound, LIMITS))
    return voices


def _captions(samples: Sequence[Sample]) -> Mapping[str, list[Wave]]:
    """Russian caption → its clip."""
    spoken = ((text(sample, "ru"), part(sample, "audio", "ru")) for sample in samples)
    return {caption: [decode.audio(clip, LIMITS)] for caption, clip in spoken if clip is not None}

"""What the demo asks: each question a prompt, the kind of answer, and what would be right.

Recognition is asked greedily; drawing and speaking draw from the model, each time with another
seed. Known photos and sounds are asked about bent, as `rankspace.analysis.distortion` bends them.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from rankspace.analysis.distortion import bent_photo, bent_speech
from rankspace.generation.request import Sampling, Target
from rankspace.media import decode, encode
from rankspace.media.limits import Limits
from rankspace.media.sample import Part, Sample

WORDS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
LIMITS = Limits()
SEED = 20_261

BENT_PER_PHOTO, DRAWN_PER_DIGIT, SPOKEN_PER_DIGIT = 4, 10, 4
CAPTIONS_SPOKEN, SENTENCES = 6, 6

CERTAIN = Sampling(greedy=True)
DRAWING = Sampling(beta=6.0, cut=0.2)
SPEAKING = Sampling(beta=6.0, cut=0.2)
WRITING = Sampling(beta=1.5, cut=0.05)


@dataclass(frozen=True, slots=True)
class Question:
    """One prompt and what it asks for."""

    group: str
    """The figure or pair it belongs to."""

    prompt: Part
    target: Target
    wanted: str
    """The right text; of a drawn or spoken answer, the word it should be."""

    sampling: Sampling = CERTAIN


Samples = Mapping[str, Sequence[Sample]]
Asked = Iterator[Question]


def part(sample: Sample, modality: str, role: str) -> Part | None:
    """The part of this kind, if the sample has one."""
    return next((one for one in sample.parts if (one.modality, one.role) == (modality, role)), None)


def text(sample: Sample, role: str) -> str:
    """The text of this role; empty if there is none."""
    found = part(sample, "text", role)
    return found.data.decode() if found else ""


def held_out(sample: Sample) -> bool:
    """Whether the sample never trains."""
    return sample.labels.get("split") == "valid"


def questions(samples: Samples) -> list[Question]:
    """All of them, group by group."""
    return [question for ask in GROUPS.values() for question in ask(samples)]


def handwritten(samples: Samples) -> Asked:
    """Held-out handwritten digit → word."""
    for sample in filter(held_out, samples["digits"]):
        yield Question(
            "image_to_text",
            sample.parts[0],
            Target(modality="text", role="word"),
            text(sample, "word"),
        )


def photos(samples: Samples) -> Asked:
    """Photo, bent in several ways → Russian caption."""
    rng = np.random.default_rng(SEED)
    for sample in [*samples["photos"]] * BENT_PER_PHOTO:
        yield Question(
            "known_photo",
            _bent(sample, rng),
            Target(modality="text", role="ru"),
            text(sample, "ru"),
        )


def captions_spoken(samples: Samples) -> Asked:
    """Bent photo → spoken Russian caption."""
    rng = np.random.default_rng(SEED + 1)
    target = Target(modality="audio", role="ru", encoding="wav")
    step = len(samples["photos"]) // CAPTIONS_SPOKEN
    for sample in samples["photos"][::step][:CAPTIONS_SPOKEN]:
        yield Question("photo_to_speech", _bent(sample, rng), target, text(sample, "ru"), SPEAKING)


def _bent(sample: Sample, rng: np.random.Generator) -> Part:
    photo = bent_photo(decode.image(sample.parts[0], LIMITS), rng)
    return Part("image", encode.png(photo), "png", "photo")


def speech(samples: Samples) -> Asked:
    """Bent spoken captions and digits → their text, as English words where they are digits."""
    rng = np.random.default_rng(SEED + 2)
    for sample in (*samples["spoken"], *samples["photos"]):
        for spoken in sample.parts:
            if spoken.modality == "audio" and spoken.role in ("ru", "en"):
                bent = bent_speech(decode.audio(spoken, LIMITS), rng)
                role = spoken.role if text(sample, spoken.role) else "word"
                yield Question(
                    "known_speech",
                    Part("audio", encode.wav(bent), "wav", spoken.role),
                    Target(modality="text", role=role),
                    text(sample, role),
                )


def drawings(_: Samples) -> Asked:
    """Word → drawn digit."""
    yield from _made(
        "text_to_image", Target(modality="image", role="digit", encoding="png"), DRAWING
    )


def speaking(_: Samples) -> Asked:
    """Word → spoken digit."""
    yield from _made("text_to_audio", Target(modality="audio", role="en", encoding="wav"), SPEAKING)


def _made(group: str, target: Target, sampling: Sampling) -> Asked:
    times = DRAWN_PER_DIGIT if group == "text_to_image" else SPOKEN_PER_DIGIT
    for seed in range(times):
        for word in WORDS:
            yield Question(
                group,
                Part("text", word.encode(), role="word"),
                target,
                word,
                sampling.model_copy(update={"seed": seed}),
            )


def clips(samples: Samples) -> Asked:
    """Clip → Russian caption."""
    for sample in samples["clips"]:
        yield Question(
            "clip_to_text", sample.parts[0], Target(modality="text", role="ru"), text(sample, "ru")
        )


def sentences(samples: Samples) -> Asked:
    """Start of a held-out sentence → what may follow; nothing single is right."""
    unseen = list(filter(held_out, samples["sentences"]))
    for sample in unseen[:: len(unseen) // SENTENCES][:SENTENCES]:
        yield Question(
            "continuation",
            sample.parts[0],
            Target(modality="text", role="rest"),
            text(sample, "rest"),
            WRITING,
        )


GROUPS: Mapping[str, Callable[[Samples], Asked]] = {
    "image_to_text": handwritten,
    "known_photo": photos,
    "text_to_image": drawings,
    "known_speech": speech,
    "text_to_audio": speaking,
    "photo_to_speech": captions_spoken,
    "clip_to_text": clips,
    "continuation": sentences,
}
"""In the order they are asked and shown."""

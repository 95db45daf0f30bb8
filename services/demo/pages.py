"""The demo's report: which answers are shown, and the words around them."""

from collections.abc import Mapping, Sequence

import numpy as np

from rankspace.analysis.report import Exchange, Pair, Report, Shown, render
from rankspace.media.sample import Part
from rankspace.ranks.space import Space
from rankspace.ranks.spectra import spectra
from services.demo.figures import Outcome, accuracy, bits, figures
from services.demo.history import Chronicle
from services.demo.judging import Answered
from services.demo.questions import SEED

TITLES: Mapping[str, tuple[str, str, int]] = {
    "image_to_text": ("Handwritten digit → word", "Digits that never trained.", 12),
    "known_photo": (
        "Photo → Russian caption",
        "Known photos, bent as training never bent them.",
        12,
    ),
    "photo_to_speech": ("Photo → spoken caption", "Each a sound of the model's own making.", 6),
    "text_to_image": ("Word → drawn digit", "Each drawn anew; below it what a judge reads.", 20),
    "text_to_audio": ("Word → spoken digit", "Each spoken anew; below it what a judge hears.", 10),
    "known_speech": ("Spoken caption or digit → its text", "Known recordings, bent.", 10),
    "clip_to_text": ("Clip → caption", "Clips as they trained.", 8),
    "continuation": (
        "Start of a sentence → continuation",
        "Sentences that never trained; below, how they really went on.",
        6,
    ),
}
"""By group of questions: title, a sentence, how many answers are shown."""

NAMES = {
    "digit_judge_held_out_acc": "the drawing judge on real digits it has not learnt",
    "speech_judge_bent_acc": "the speech judge on its own words, strongly bent",
    "speech_judge_other_voice_acc": "the same kind of judge across two Russian voices",
}


def page(outcome: Outcome, chronicle: Chronicle, space: Space, facts: Mapping[str, str]) -> str:
    """The report as HTML."""
    told = dict(facts)
    told |= {name: f"{seconds:.1f} s" for name, seconds in outcome.cost.seconds.items()}
    told |= {NAMES[name]: f"{value:.1%} right" for name, value in outcome.trust.items()}
    return render(
        Report(
            title="What rankspace learnt from its built-in sample",
            lead="One small model, learnt in minutes on this machine from five streams of real "
            "text, sound, pictures and clips, then asked over gRPC in every modality.",
            figures=figures(outcome),
            pairs=tuple(
                _pair(title, sentence, outcome.answered[group], count)
                for group, (title, sentence, count) in TITLES.items()
                if outcome.answered.get(group)
            ),
            bits=bits(outcome),
            history=chronicle.curves(),
            spectra=spectra(space.counts, space.vocabulary),
            facts=told,
        )
    )


def _pair(title: str, sentence: str, answered: Sequence[Answered], count: int) -> Pair:
    """So many of them, drawn by lot, so that none is shown for its looks."""
    lot = np.random.default_rng(SEED).permutation(len(answered))[:count]
    shown = [answered[at] for at in np.sort(lot)]
    marks = [one for one in answered if one.right is not None]
    share = f" {accuracy(answered):.1%} of {len(marks)} right." if marks else ""
    return Pair(title, f"{sentence}{share}", tuple(map(_exchange, shown)))


def _exchange(answered: Answered) -> Exchange:
    return Exchange(
        _shown(answered.question.prompt), _shown(answered.answer), answered.right, _note(answered)
    )


def _note(answered: Answered) -> str:
    if answered.right is None:
        return f"really: {answered.question.wanted.strip()}"
    if answered.answer.modality == "text":
        return "" if answered.right else f"right would be: {answered.question.wanted}"
    verb = "read" if answered.answer.modality == "image" else "heard"
    right = "" if answered.right else f"; right would be: {answered.question.wanted}"
    return f"{verb} as: {answered.judged or 'nothing'}{right}"


def _shown(part: Part) -> Shown:
    return Shown(part.modality, part.data, part.encoding)

"""The report: one HTML file that shows what was asked, what was answered, and what it is worth.

Everything is inside: media as data URIs, charts as SVG, style in the head; it asks nothing of
a network. The page is `report.html.j2`; here is what it is told.
"""

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from rankspace.analysis.plots import Axis, Curve, lines
from rankspace.media.sample import Modality
from rankspace.ranks.spectra import Spectrum

MIME = {
    "wav": "audio/wav",
    "ogg": "audio/ogg",
    "opus": "audio/ogg",
    "flac": "audio/flac",
    "mp3": "audio/mpeg",
    "png": "image/png",
    "jpeg": "image/jpeg",
    "webp": "image/webp",
    "gif": "image/gif",
    "mp4": "video/mp4",
    "webm": "video/webm",
}


@dataclass(frozen=True, slots=True)
class Figure:
    """One number the run is judged by."""

    name: str
    value: float
    meaning: str
    """A sentence: how it was measured."""

    least: float | None = None
    """The run fails below it."""

    most: float | None = None
    """The run fails above it."""

    @property
    def held(self) -> bool:
        """Whether the value is where it must be; NaN never is, once there is a bound."""
        above = self.least is None or self.value >= self.least
        return above and (self.most is None or self.value <= self.most)

    @property
    def bound(self) -> str:
        """The bound in words, or nothing."""
        if self.least is not None:
            return f"≥ {self.least:g}"
        return "" if self.most is None else f"≤ {self.most:g}"


@dataclass(frozen=True, slots=True)
class Shown:
    """A piece of media to look at or listen to."""

    modality: Modality
    data: bytes
    encoding: str = ""

    @property
    def text(self) -> str:
        return self.data.decode("utf-8", "replace")

    @property
    def is_picture(self) -> bool:
        """A gif is drawn as a picture whatever it is."""
        return self.modality == "image" or self.encoding == "gif"

    @property
    def uri(self) -> str:
        return f"data:{MIME[self.encoding]};base64,{base64.b64encode(self.data).decode()}"


@dataclass(frozen=True, slots=True)
class Exchange:
    """A prompt and its answer."""

    prompt: Shown
    answer: Shown
    right: bool | None = None
    """None: there is no single right answer."""

    note: str = ""
    """What would have been right, or what the judge heard."""


@dataclass(frozen=True, slots=True)
class Pair:
    """Everything that was asked of one pair of modalities."""

    title: str
    summary: str
    exchanges: tuple[Exchange, ...]


@dataclass(frozen=True, slots=True)
class Bits:
    """What a symbol of one modality costs on held-out data, in bits."""

    modality: str
    model: float
    bigram: float
    unigram: float


@dataclass(frozen=True, slots=True)
class History:
    """What training reported, step by step: each a curve per source or per named temperature."""

    losses: tuple[Curve, ...] = ()
    weights: tuple[Curve, ...] = ()
    betas: tuple[Curve, ...] = ()


@dataclass(frozen=True, slots=True)
class Report:
    """All there is to show."""

    title: str
    lead: str
    """What this is, in a sentence or two."""

    figures: tuple[Figure, ...]
    pairs: tuple[Pair, ...] = ()
    bits: tuple[Bits, ...] = ()
    history: History = field(default_factory=History)
    spectra: tuple[Spectrum, ...] = ()
    facts: Mapping[str, str] = field(default_factory=dict)
    """Name → value: the machine, the times, the judges' own accuracy."""


def render(report: Report) -> str:
    """The page."""
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    history = report.history
    step = Axis("step")
    return environment.get_template("report.html.j2").render(
        report=report,
        losses=lines(history.losses, step, Axis("nats per symbol")) if history.losses else "",
        weights=lines(history.weights, step, Axis("share of a batch")) if history.weights else "",
        betas=lines(history.betas, step, Axis("β")) if history.betas else "",
        ranks=rank_frequencies(report.spectra) if report.spectra else "",
    )


def rank_frequencies(spectra: Sequence[Spectrum]) -> Markup:
    """How often the r-th most frequent symbol comes, with the fitted law dashed."""
    curves = []
    for spectrum in spectra:
        ranks = spectrum.curve.ranks.astype(float).tolist()
        points = zip(ranks, spectrum.curve.frequencies.tolist(), strict=True)
        curves.append(Curve(spectrum.name, tuple(points)))
        if spectrum.zipf is not None:
            law = np.exp(spectrum.zipf.log_law())[spectrum.curve.ranks - 1]
            fitted = tuple(zip(ranks, law.tolist(), strict=True))
            curves.append(Curve(f"{spectrum.name}: fitted law", fitted, dashed=True))
    return lines(curves, Axis("rank", log=True), Axis("share", log=True))

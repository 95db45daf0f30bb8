"""What a neural arm of a benchmark can do; ours and the peers' own code stand behind it alike."""

from abc import ABC, abstractmethod
from collections.abc import Iterable

from jaxtyping import Float, Int
from torch import Tensor, nn

from benchmarks._text_data import Batch, Stories
from rankspace.training.job import DECAY

Law = Float[Tensor, "b v"]
"""Probabilities of every next symbol."""


class Arm(ABC):
    """A model with its optimiser. Texts, schedule, stopping and measuring are the benchmark's."""

    model: nn.Module
    average: bool
    """Whether what is measured is the moving average of the weights."""

    decay: float = DECAY
    """Share of the steps over which rates fall to zero."""

    @property
    def parameters(self) -> int:
        """How many numbers are learnt; tied ones once."""
        return sum(weight.numel() for weight in self.model.parameters())

    @abstractmethod
    def nats(self, batch: Batch, stories: Stories, progress: float) -> Float[Tensor, "n"]:
        """-ln p of every target that is asked for, in their order.

        `stories` is the set the batch is of; `progress` the share of the training that is done.
        """

    def loss(self, batch: Batch, stories: Stories, progress: float) -> Float[Tensor, ""]:
        """What is to fall: nats a symbol, and whatever else the arm asks for."""
        return self.nats(batch, stories, progress).mean()

    @abstractmethod
    def law(self, symbols: Int[Tensor, "b t"]) -> Law:
        """The odds of what follows each row, as after training."""

    @abstractmethod
    def step(self, factor: float, progress: float) -> float:
        """One step of the optimiser at this share of its rates; the gradient's norm before it."""

    def memory(self, stories: Stories) -> float | None:
        """Nats of all targets of these stories by what the arm knew at birth; None: nothing."""
        del stories
        return None

    def fit_shares(
        self, batches: Iterable[Batch], stories: Stories, progress: float
    ) -> float | None:
        """Fit what is fitted on the stories for tuning, such as weights of interpolation.

        Returns the nats of all their targets after it, where they are known by then.
        """
        del batches, stories, progress
        return None

    def facts(self) -> dict[str, float]:
        """Figures of the arm's own."""
        return {}

"""Arms that differ from `rank` in how they are born and held, not in what they compute."""

import torch
from jaxtyping import Float
from torch import Tensor, nn

from benchmarks._arms_networks import Ours
from benchmarks._arms_table import Spec
from benchmarks._text_data import Batch, Corpus, Stories
from rankspace.model import held
from rankspace.model.presets import NetworkConfig
from rankspace.training.loop import HOLD_EVERY, HOLD_ROWS

LOUD = 0.02
"""Deviation of the matrices that write into the stream, where they are not zero at birth."""


class Varied(Ours):
    """The same network, otherwise begun or otherwise held."""

    def __init__(self, spec: Spec, corpus: Corpus, config: NetworkConfig, rate: float) -> None:
        super().__init__(spec, corpus, config, rate)
        self._steps = 0
        self._latest: Batch | None = None
        for name, weight in self.network.named_parameters() if spec.loud else ():
            if name.endswith("out.weight"):  # as GPT-2's are, scaled down by the depth
                nn.init.normal_(weight, std=LOUD / (2 * config.depth) ** 0.5)

    def loss(self, batch: Batch, stories: Stories, progress: float) -> Float[Tensor, ""]:
        self._latest = batch
        return super().loss(batch, stories, progress)

    def step(self, factor: float, progress: float) -> float:
        norm = super().step(factor, progress)
        if self.network.config.hold and self._steps % HOLD_EVERY == 0 and self._latest:
            self._control(self._latest)
        self._steps += 1
        return norm

    @torch.no_grad()
    def _control(self, batch: Batch) -> None:
        """A step of the controllers, over as many rows as in a job (training/loop.py)."""
        network, symbols = self.network.eval(), batch.symbols[:HOLD_ROWS]
        inputs, mask = self.inputs(symbols)
        asked = (batch.targets[:HOLD_ROWS].flatten() >= 0).nonzero()[:, 0]
        odds = []
        if "output" in network.config.hold:
            mixed = network.mix(network.states(inputs, mask)).flatten(0, 1)[asked]
            odds = [self.logits(mixed, symbols.flatten()[asked], 0.0).float()]
        held.control(held.measure(network, inputs, mask, odds))
        network.train()

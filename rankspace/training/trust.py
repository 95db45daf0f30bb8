"""How far a memory is trusted: its shares, fitted on documents that nothing has learnt from.

Only the form `held` has them (model/memory.py). They are fitted anew before every measurement, so
that what is measured, kept and answered by is one law; a few dozen shares over thousands of
symbols know next to nothing of the documents that they were fitted on.

Shapes: N positions that lead to one alphabet.
"""

from collections.abc import Sequence

import torch

from rankspace.model.network import Network
from rankspace.model.readout import Readout
from rankspace.model.shares import gathered
from rankspace.training.batches import Batch
from rankspace.training.precision import fast


@torch.no_grad()
def fit(network: Network, readout: Readout, found: Sequence[Batch]) -> None:
    """Fit the shares of a network to these batches, if its memory has any."""
    if network.trust.held is None:
        return
    network.eval()
    unembedding, told = network.unembedding(), []
    for batch in found:
        with fast():
            mixed = network.mix(network.states(batch.inputs, batch.mask)).flatten(0, 1).float()
        for asked in batch.asked:
            past = readout.past(network, batch.inputs.symbols, asked.index)
            said = mixed[asked.index]
            logits = readout.logits(network, unembedding, asked.door, said, asked.before, 0.0)
            told.append(readout.told(network, logits, asked.door, past, asked.targets))
    if told:
        network.trust.held.fit(*gathered(told))
    network.train()

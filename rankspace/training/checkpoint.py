"""All that a job needs to go on as if it had never stopped: weights, moments, balance, step.

    checkpoint.safetensors   weight/NAME, buffer/NAME, average/N, OPTIMISER/INDEX/NAME, and best/...
                             with the first two as they were at the best measurement
    checkpoint.json          step, balance, history; names the tensors' SHA-256

The JSON is renamed into place last, so a checkpoint is whole or it is not there. Draws need no
state: they follow from (seed, step).
"""

import hashlib
from pathlib import Path

import torch
from pydantic import ValidationError
from safetensors.torch import load, save

from rankspace.config import Config
from rankspace.errors import Corrupt, WrongLayout
from rankspace.model.folder import difference
from rankspace.model.network import Network
from rankspace.store import files
from rankspace.training.balance import BalanceState
from rankspace.training.optimizer import Average, Optimizer, state

STATE, TENSORS = "checkpoint.json", "checkpoint-{}.safetensors"
BEST = "best/"


class Progress(Config):
    """Where a run stands."""

    step: int = 0
    """Steps done."""

    balance: BalanceState | None = None
    """The mixture of sources."""

    best: float | None = None
    """Best held-out loss so far, nats per symbol."""

    best_step: int = 0
    """Steps done when that was measured."""

    worse: int = 0
    """Measurements since then."""

    metrics: dict[str, float] = {}
    """Figures that are measured once, such as the birth loss."""

    tensors: str = ""
    """SHA-256 of the tensors' file."""


def write(
    folder: Path, progress: Progress, network: Network, optimizer: Optimizer, average: Average
) -> None:
    """Write a checkpoint, replacing the one before."""
    payload = save(_tensors(network, optimizer, average))
    digest = hashlib.sha256(payload).hexdigest()
    with files.whole(folder / TENSORS.format(digest[:16])) as part:
        part.write_bytes(payload)
    text = progress.model_copy(update={"tensors": digest}).model_dump_json(indent=1)
    with files.whole(folder / STATE) as part:
        part.write_text(text + "\n", "utf-8")
    for old in folder.glob(TENSORS.format("*")):
        if digest[:16] not in old.name:
            old.unlink()


def read(folder: Path, network: Network, optimizer: Optimizer, average: Average) -> Progress | None:
    """Put everything back as it was; None if there is no checkpoint.

    Raises Corrupt if it is damaged, and WrongLayout if it is of a network with other switches.
    """
    path = folder / STATE
    if not path.exists():
        return None
    try:
        progress = Progress.model_validate_json(path.read_bytes())
        payload = (folder / TENSORS.format(progress.tensors[:16])).read_bytes()
    except (OSError, ValidationError) as error:
        raise Corrupt("the job's checkpoint cannot be read; submit the job again") from error
    if hashlib.sha256(payload).hexdigest() != progress.tensors:
        raise Corrupt("the job's checkpoint is damaged; submit the job again")
    found = load(payload)
    held = {name: value for name, value in found.items() if name.startswith(("weight/", "buffer/"))}
    if differs := difference(held, state(network)):
        raise WrongLayout(
            f"the checkpoint of step {progress.step} is of another network: {differs}; submit the"
            " job with the preset, size and switches it began with, or carry the weights both have"
            " over with rankspace.model.convert.carry"
        )
    _restore(found, network, optimizer, average)
    return progress


def _tensors(network: Network, optimizer: Optimizer, average: Average) -> dict[str, torch.Tensor]:
    found = state(network)
    found |= {f"average/{at}": weight for at, weight in enumerate(average.weights)}
    found |= {f"{BEST}{name}": value for name, value in average.best.items()}
    for number, part in enumerate(optimizer.parts):
        for index, moments in part.state_dict()["state"].items():
            for name, value in moments.items():
                found[f"{number}/{index}/{name}"] = torch.as_tensor(value)
    return {name: value.contiguous().clone() for name, value in found.items()}


def _restore(
    found: dict[str, torch.Tensor], network: Network, optimizer: Optimizer, average: Average
) -> None:
    with torch.no_grad():
        for name, weight in state(network).items():
            weight.copy_(found[name])
        for at, mean in enumerate(average.weights):
            mean.copy_(found[f"average/{at}"])
    average.best = {n.removeprefix(BEST): v for n, v in found.items() if n.startswith(BEST)}
    for number, part in enumerate(optimizer.parts):
        states: dict[int, dict[str, torch.Tensor]] = {}
        for key, value in found.items():
            owner, _, rest = key.partition("/")
            if owner == str(number):
                index, _, name = rest.partition("/")
                states.setdefault(int(index), {})[name] = value
        part.load_state_dict({"state": states, "param_groups": part.state_dict()["param_groups"]})

"""A model in a folder: weights as safetensors, config as JSON, its rank space beside them.

network.json  network.safetensors  vocabulary.json  counts...  <modality>.json/.safetensors
"""

from collections.abc import Mapping
from pathlib import Path

import torch
from pydantic import ValidationError
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from rankspace.errors import Corrupt, WrongLayout
from rankspace.model.config import NetworkConfig
from rankspace.model.network import Network
from rankspace.ranks.space import Space

CONFIG, WEIGHTS = "network.json", "network.safetensors"
DAMAGED = "the network's files are missing or damaged; train or import it again"
CONVERT = "rankspace.model.convert.convert carries over what both layouts have, or train it again"


def save(folder: Path, network: Network, space: Space) -> None:
    """Write all that answering needs into an existing folder."""
    space.save(folder)
    (folder / CONFIG).write_text(network.config.model_dump_json(indent=1) + "\n", "utf-8")
    tensors = {
        name: value.contiguous()
        for name, value in network.state_dict().items()
        if name != "features"
    }
    save_file(tensors, folder / WEIGHTS)


def load(folder: Path) -> tuple[Network, Space]:
    """The model saved in this folder, ready to answer.

    Raises Corrupt if it is none, and WrongLayout if it is one of another layout.
    """
    space = Space.load(folder)
    try:
        config = NetworkConfig.model_validate_json((folder / CONFIG).read_bytes())
        weights = load_file(folder / WEIGHTS)
    except ValidationError as error:
        raise _unread(error) from error
    except (OSError, SafetensorError) as error:
        raise Corrupt(DAMAGED) from error
    network = Network(config, features(config, space))
    own = {name: value for name, value in network.state_dict().items() if name != "features"}
    if found := difference(weights, own):
        raise WrongLayout(f"the network's weights are not those of its config: {found}; {CONVERT}")
    network.load_state_dict(weights, strict=False)
    return network.eval().requires_grad_(requires_grad=False), space


def difference(held: Mapping[str, Tensor], wanted: Mapping[str, Tensor]) -> str:
    """What keeps these weights out of that layout, in words; nothing if they fit."""
    missing, more = sorted(wanted.keys() - held.keys()), sorted(held.keys() - wanted.keys())
    other = sorted(n for n in wanted.keys() & held.keys() if wanted[n].shape != held[n].shape)
    lists = (("missing", missing), ("without a place", more), ("of another shape", other))
    said = [f"{names[0]} and {len(names) - 1} more {how}" for how, names in lists if names]
    return ", ".join(each.replace(" and 0 more", "") for each in said)


def _unread(error: ValidationError) -> Corrupt | WrongLayout:
    unknown = [str(each["loc"][0]) for each in error.errors() if each["type"] == "extra_forbidden"]
    if not unknown:
        return Corrupt(DAMAGED)
    names = ", ".join(unknown)
    return WrongLayout(
        f"the network has settings that this version does not know, {names}; {CONVERT}"
    )


def features(config: NetworkConfig, space: Space) -> torch.Tensor | None:
    """[V, F] the codecs' features, where the network looks at them."""
    return torch.from_numpy(space.features) if config.features else None

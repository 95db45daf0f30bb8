"""A model in a folder: weights as safetensors, config as JSON, its rank space beside them.

network.json  network.safetensors  vocabulary.json  counts...  <modality>.json/.safetensors
"""

from pathlib import Path

import torch
from pydantic import ValidationError
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from rankspace.errors import Corrupt
from rankspace.model.config import NetworkConfig
from rankspace.model.network import Network
from rankspace.ranks.space import Space

CONFIG, WEIGHTS = "network.json", "network.safetensors"


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
    """The model saved in this folder, ready to answer; raises Corrupt if it is none."""
    space = Space.load(folder)
    try:
        config = NetworkConfig.model_validate_json((folder / CONFIG).read_bytes())
        network = Network(config, features(config, space))
        missing, unknown = network.load_state_dict(load_file(folder / WEIGHTS), strict=False)
    except (OSError, ValidationError, SafetensorError, RuntimeError) as error:
        raise Corrupt(
            "the network's files are missing or damaged; train or import it again"
        ) from error
    if unknown or set(missing) - {"features"}:
        raise Corrupt("the network's weights are not those of its config; train or import it again")
    return network.eval().requires_grad_(requires_grad=False), space


def features(config: NetworkConfig, space: Space) -> torch.Tensor | None:
    """[V, F] the codecs' features, where the network looks at them."""
    return torch.from_numpy(space.features) if config.features else None

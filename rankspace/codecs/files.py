"""A learnt codec on disk: settings in `<name>.json`, tables in `<name>.safetensors`.

No pickle: both formats can be read from strangers without running their code.
"""

import hashlib
import json
from abc import ABC, abstractmethod
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load as load_arrays
from safetensors.numpy import save as save_arrays

from rankspace.errors import Corrupt
from rankspace.media.sample import Modality

Arrays = Mapping[str, NDArray[np.float32]]


def write(folder: Path, name: str, settings: Mapping[str, object], arrays: Arrays) -> None:
    """Write both files; a codec without arrays has only the first."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{name}.json").write_bytes(_json(settings))
    if arrays:
        (folder / f"{name}.safetensors").write_bytes(save_arrays(dict(arrays)))


def read(folder: Path, name: str) -> tuple[dict[str, object], dict[str, NDArray[np.float32]]]:
    """What `write` wrote. Raises Corrupt if it is not."""
    try:
        settings = json.loads((folder / f"{name}.json").read_bytes())
        path = folder / f"{name}.safetensors"
        arrays = load_arrays(path.read_bytes()) if path.exists() else {}
    except (OSError, ValueError, SafetensorError) as error:
        raise Corrupt(f"the {name} codec of this model cannot be read") from error
    return settings, arrays


def digest(settings: Mapping[str, object], arrays: Arrays) -> str:
    """A name for this very codec: equal for equal codecs, on any machine."""
    whole = hashlib.sha256(_json(settings))
    for name in sorted(arrays):
        whole.update(name.encode())
        whole.update(np.ascontiguousarray(arrays[name]).tobytes())
    return whole.hexdigest()


class Kept(ABC):
    """A codec that is all in its settings and tables."""

    name: Modality

    @property
    def hash(self) -> str:
        """A name for this very codec, for caches."""
        return digest(*self._state())

    def save(self, folder: Path) -> None:
        """Write it; see `read`."""
        write(folder, self.name, *self._state())

    @abstractmethod
    def _state(self) -> tuple[dict[str, object], dict[str, NDArray[np.float32]]]:
        """Its settings and its tables."""


def _json(settings: Mapping[str, object]) -> bytes:
    return json.dumps(settings, sort_keys=True, ensure_ascii=False).encode()

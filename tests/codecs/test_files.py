"""Codecs on disk: what cannot be read says so."""

from pathlib import Path

import numpy as np
import pytest

from rankspace.codecs import files
from rankspace.codecs.text import TextCodec
from rankspace.errors import Corrupt


def test_what_was_written_is_read(tmp_path: Path) -> None:
    table = np.arange(6, dtype=np.float32).reshape(2, 3)
    files.write(tmp_path, "image", {"side": 4}, {"table": table})
    settings, arrays = files.read(tmp_path, "image")
    assert settings == {"side": 4}
    assert np.array_equal(arrays["table"], table)
    assert files.digest(settings, arrays) == files.digest({"side": 4}, {"table": table})
    assert files.digest(settings, arrays) != files.digest({"side": 5}, arrays)


@pytest.mark.parametrize("ending", ["json", "safetensors"])
def test_a_damaged_file_is_corrupt(tmp_path: Path, ending: str) -> None:
    files.write(tmp_path, "image", {}, {"table": np.zeros(3, np.float32)})
    (tmp_path / f"image.{ending}").write_bytes(b"\x00damaged")
    with pytest.raises(Corrupt, match="image codec"):
        files.read(tmp_path, "image")


def test_a_damaged_tokenizer_is_corrupt(tmp_path: Path) -> None:
    files.write(tmp_path, "text", {"config": {}}, {})
    with pytest.raises(Corrupt, match="text codec"):
        TextCodec.load(tmp_path)

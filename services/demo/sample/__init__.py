"""The built-in sample: real media of every modality in five WebDataset shards, one a stream.

`DATASHEET.md` says what is in it and where it comes from; `make.py` made it.
"""

from collections.abc import Iterator
from pathlib import Path

from rankspace.media.sample import Sample
from services.readers import read

FOLDER = Path(__file__).parent
STREAMS = ("digits", "spoken", "photos", "clips", "sentences")


def shard(stream: str) -> Path:
    """Where the samples of a stream lie."""
    return FOLDER / f"{stream}.tar.gz"


def samples(stream: str) -> Iterator[Sample]:
    """The samples of a stream, in the order of its shard."""
    return read(shard(stream))

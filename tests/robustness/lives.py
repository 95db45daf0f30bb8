"""A store in a process of its own on a disk that can fail, told step by step what to do.

For faults in a fixed order: campaigns meet some of them once in many hours.
"""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType

from rankspace.errors import RankspaceError
from rankspace.store.config import StoreConfig
from rankspace.store.growing import Begin, Chunk, End
from rankspace.store.store import Store
from tests.robustness.appending import begin, sound
from tests.robustness.contents import key, sample
from tests.robustness.powercut import Disk

STREAM = "s"
INLINE_BYTES = 100


def store(folder: Path) -> Store:
    """The store, opened in this process."""
    config = StoreConfig(folder=folder, inline_bytes_max=INLINE_BYTES, segment_bytes=1 << 16)
    return Store.open(config)


def act(opened: Store, line: str) -> str:
    """Do one thing; what came of it, in words."""
    what, *words = line.split()
    try:
        match what:
            case "create":
                opened.log.create(STREAM)
                return "stored"
            case "append":
                offset, name, durability = words
                done = opened.log.append(
                    STREAM,
                    int(offset),
                    [sample(name)],
                    durability=durability,  # type: ignore[arg-type]
                )
                return "duplicate" if done.duplicate else "stored"
            case "grow":
                name, durability = words
                (grown,) = opened.pieces.grow(STREAM, [_step(name)], synced=durability == "synced")
                return "refused" if isinstance(grown, RankspaceError) else "grown"
    except RankspaceError as error:
        return error.reason()
    raise ValueError(line)


def _step(word: str) -> Begin | Chunk | End:
    """A name and a letter: its begin, or all its bytes as one chunk."""
    name, _, how = word.partition("/")
    return begin(name) if how == "begin" else Chunk(name, 0, sound(name))


class Life:
    """A process from its start to its end, which is always a kill -9."""

    def __init__(self, disk: Disk) -> None:
        self._disk = disk

    def __enter__(self) -> "Life":
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.robustness.lives", self._disk.folder],
            env={"PYTHONPATH": str(Path(__file__).parents[2])} | self._disk.environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._process.kill()
        self._process.communicate()

    def __call__(self, line: str) -> str:
        """Have something done; what came of it."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(line + "\n")
        self._process.stdin.flush()
        return self._process.stdout.readline().strip()


@contextmanager
def failing(disk: Disk, database_only: bool = False) -> Iterator[None]:
    """Let every sync fail for a while."""
    disk.set(failing=1000, database_only=database_only)
    yield
    disk.set()


def found(folder: Path) -> list[str]:
    """The keys of what can be read."""
    with store(folder) as opened:
        return [key(one) for _, one in opened.log.read(STREAM)]


def main() -> None:
    """Do what the lines of the standard input say."""
    with store(Path(sys.argv[1])) as opened:
        for line in sys.stdin:
            sys.stdout.write(act(opened, line) + "\n")
            sys.stdout.flush()


if __name__ == "__main__":
    main()

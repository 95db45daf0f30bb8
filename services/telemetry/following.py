"""How far behind the readers are that follow a stream."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from services.telemetry.metrics import FOLLOWER_LAG, FOLLOWERS

_behind: dict[object, int] = {}


@contextmanager
def following(really: bool = True) -> Iterator[Callable[[int], None]]:
    """Count a reader that follows for the length of the block, which tells how far it has to go."""
    if not really:
        yield lambda _: None
        return
    key = object()

    def told(samples: int) -> None:
        if FOLLOWER_LAG.live is not None:
            _behind[key] = samples
            FOLLOWER_LAG.set(max(_behind.values()))

    FOLLOWERS.add(1)
    try:
        yield told
    finally:
        FOLLOWERS.add(-1)
        _behind.pop(key, None)
        FOLLOWER_LAG.set(max(_behind.values(), default=0))

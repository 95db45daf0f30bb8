"""How long the interpreter keeps the event loop from its turn, in a process that only serves.

The cycle collector looks at everything that lives: 40 ms for the modules of a server alone. What
lives when the server starts is set aside, and the rest is looked at less often. What goes in and
out is freed when nobody names it any more, without the collector.
"""

import gc
from collections.abc import Iterator
from contextlib import contextmanager

THRESHOLDS = (10_000, 20, 20)
"""New containers before a collection, and collections before one of the next generation."""


@contextmanager
def short() -> Iterator[None]:
    """Keep them short for the length of the block."""
    thresholds = gc.get_threshold()
    gc.freeze()
    gc.set_threshold(*THRESHOLDS)
    try:
        yield
    finally:
        gc.set_threshold(*thresholds)
        gc.unfreeze()

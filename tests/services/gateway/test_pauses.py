"""A server's process: the cycle collector leaves what lived at the start alone, and only then."""

import gc
import weakref

from services.gateway import pauses


class Ring:
    """Refers to itself: only the collector frees it."""

    def __init__(self) -> None:
        self.itself = self


def test_a_collection_looks_at_nothing_that_lived_before_and_frees_what_came_since() -> None:
    old, before = Ring(), gc.get_threshold()
    with pauses.short():
        assert gc.is_tracked(old)
        new = Ring()
        looked_at = {id(one) for one in gc.get_objects()}
        assert id(new) in looked_at
        assert id(old) not in looked_at
        gone = weakref.ref(new)
        del new
        gc.collect()
        assert gone() is None
        assert gc.get_threshold() > before
    assert gc.get_threshold() == before
    assert any(one is old for one in gc.get_objects())

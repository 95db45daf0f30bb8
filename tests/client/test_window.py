"""The window's law: wherever connections are cut, the log ends up equal to the input."""

from collections import deque
from collections.abc import Iterator
from itertools import count
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rankspace.client.window import Batch, Window
from rankspace.errors import ContentConflict, Corrupt, OffsetGap
from rankspace.media.sample import Part, Sample
from rankspace.store.config import StoreConfig
from rankspace.store.store import Store

Samples = list[Sample]


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    folder: Path = tmp_path_factory.mktemp("store")
    with Store.open(StoreConfig(folder=folder)) as opened:
        yield opened


NUMBERS = count()


class Wire:
    """One connection to a real log: what was sent and not served, what was served and not heard."""

    def __init__(self, store: Store, stream: str, window: Window[Samples]) -> None:
        self.log, self.stream, self.window = store.log, stream, window
        self.connect(2, 100)

    def connect(self, batches: int, size: int) -> None:
        self.sent: deque[Batch[Samples]] = deque()
        self.answers: deque[int] = deque()
        self.window.connected(self.log.next_offset(self.stream), batches, size)

    def send(self) -> None:
        batch = self.window.take()
        if batch is not None:
            self.sent.append(batch)

    def serve(self) -> None:
        if self.sent:
            batch = self.sent.popleft()
            self.answers.append(self.log.append(self.stream, batch.offset, batch.message).first)

    def hear(self) -> None:
        if self.answers:
            self.window.answered(self.answers.popleft())


def some_samples(sizes: list[int]) -> list[Samples]:
    names = count()
    return [
        [Sample(str(n := next(names)), (Part("text", str(n).encode()),)) for _ in range(size)]
        for size in sizes
    ]


@given(
    sizes=st.lists(st.integers(1, 4), max_size=8),
    steps=st.lists(st.sampled_from(["add", "send", "serve", "hear", "cut"]), max_size=60),
    allowed=st.tuples(st.integers(0, 4), st.integers(0, 6)),
)
def test_however_connections_are_cut_the_log_is_the_input(
    store: Store, sizes: list[int], steps: list[str], allowed: tuple[int, int]
) -> None:
    stream = f"s{next(NUMBERS)}"
    store.log.create(stream)
    window: Window[Samples] = Window()
    wire = Wire(store, stream, window)
    batches = some_samples(sizes)
    waiting = deque(batches)

    def add() -> None:
        if waiting and window.wants_more:
            window.add(len(waiting[0]), len(waiting[0]), waiting.popleft())

    does = {"add": add, "send": wire.send, "serve": wire.serve, "hear": wire.hear}
    for step in steps:
        if step == "cut":
            wire.connect(*allowed)
        else:
            does[step]()
    while waiting or not window.empty:  # from here on the connection holds
        for step in ("add", "send", "serve", "hear"):
            does[step]()
    stored = [sample for _, sample in store.log.read(stream)]
    assert stored == [sample for batch in batches for sample in batch]
    assert window.answers == len(batches)


@given(st.integers(1, 4), st.integers(1, 20), st.lists(st.integers(1, 9), min_size=1, max_size=12))
def test_no_more_is_in_flight_than_the_credits_say(
    batches: int, size: int, sizes: list[int]
) -> None:
    window: Window[int] = Window(0)
    window.connected(0, batches, size)
    for number, each in enumerate(sizes):
        window.add(1, each, number)
    taken = []
    while (batch := window.take()) is not None:
        taken.append(batch.bytes)
    assert len(taken) == 1 or (len(taken) <= batches and sum(taken) <= size)
    assert taken == sizes[: len(taken)]
    assert taken, "one batch may always go, or a large one would wait for ever"


def test_a_server_that_lost_what_it_acknowledged_is_found_out() -> None:
    window: Window[str] = Window()
    window.connected(5, 2, 100)
    window.add(2, 1, "a")
    window.take()
    window.answered(5)
    with pytest.raises(OffsetGap, match="ends at offset 6, before 7"):
        window.connected(6, 2, 100)


def test_an_answer_out_of_order_is_found_out() -> None:
    window: Window[str] = Window(0)
    window.connected(0, 2, 100)
    window.add(2, 1, "a")
    with pytest.raises(Corrupt):
        window.answered(0)
    window.take()
    with pytest.raises(Corrupt):
        window.answered(1)


def test_another_writer_between_two_connections_is_found_out(store: Store) -> None:
    stream = f"s{next(NUMBERS)}"
    store.log.create(stream)
    window: Window[Samples] = Window()
    wire = Wire(store, stream, window)
    mine, theirs = some_samples([1, 1])
    window.add(1, 1, mine)
    store.log.append(stream, 0, theirs)
    wire.send()
    with pytest.raises(ContentConflict):
        wire.serve()

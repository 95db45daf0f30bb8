"""The checker passes every right history and finds every kind of wrong one."""

import random
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rankspace.store import content
from tests.robustness.checker import violations
from tests.robustness.contents import KINDS, key, sample
from tests.robustness.history import Recorder, load
from tests.robustness.simulated import MUTATIONS, Mutation, history


@given(st.integers(0, 2**32), st.integers(0, 150))
def test_a_right_history_passes(seed: int, steps: int) -> None:
    assert violations(history(seed, steps)) == []


@pytest.mark.parametrize("mutation", MUTATIONS, ids=lambda found: found.__name__)
def test_a_wrong_history_does_not(mutation: Mutation) -> None:
    applied = 0
    for seed in range(20):
        wrong = mutation(random.Random(seed), history(seed, 90))
        if wrong is not None:
            applied += 1
            assert violations(wrong), f"{mutation.__name__} at seed {seed}"
    assert applied >= 2


@given(st.text("abc019-", min_size=1, max_size=6), st.sampled_from(KINDS))
def test_keys_are_the_hashes_that_the_store_keeps(stem: str, kind: str) -> None:
    found = sample(stem + kind)
    assert key(found).removeprefix("!") == content.digest(found).hex()


def test_a_history_in_a_file_is_the_history(tmp_path: Path) -> None:
    recorder = Recorder(tmp_path / "history.jsonl")
    for operation in history(1):
        recorder.add(operation)
    recorder.close()
    assert list(load(recorder.path)) == history(1)

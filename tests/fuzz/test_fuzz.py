"""No bytes make a parser of ours do anything but read them or refuse them in words."""

import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.fuzz.targets import TARGETS, seeds, tried

ROOT = Path(__file__).parents[2]

FOUND = [
    # A key that a terminal would obey came back in the error's words.
    (
        "lines",
        b'{"sample_id": "a", "parts": [{"text": "b", "\x1b[2J": "en"}]}\n',
        "InvalidInput",
    ),
    ("lines", b'{"sample_id": "a", "\x7f": 1, "parts": []}\n', "InvalidInput"),
    # Millions of empty segments before the size of a picture, seconds for a header.
    ("headers", b"\x02\xff\xd8\xff\xfe\0\2" + b"\xff\xfe\0\2" * 100_000, "MalformedMedia"),
    ("headers", b"\x02\xff\xd8" + b"\xff" * 400_000, "MalformedMedia"),
    ("headers", b"\x01RIFF\0\0\0\0WAVE" + b"junk\0\0\0\0" * 100_000, "MalformedMedia"),
]


@pytest.mark.parametrize(("name", "data", "end"), FOUND)
def test_what_was_found_once_is_refused(name: str, data: bytes, end: str) -> None:
    assert tried(name, data) == end


@pytest.mark.parametrize(
    "name", ["headers", "raw", "sample", "plain", "tar", "lines", "answer", "bare"]
)
def test_what_is_right_is_read(name: str) -> None:
    assert {tried(name, seed) for seed in seeds(name)} == {""}


@pytest.mark.parametrize("name", TARGETS)
@given(data=st.data())
@settings(max_examples=60)
def test_damage_is_read_or_refused(name: str, data: st.DataObject) -> None:
    broken = bytearray(data.draw(st.sampled_from(seeds(name))))
    for _ in range(data.draw(st.integers(1, 5))):
        broken[data.draw(st.integers(0, len(broken) - 1))] = data.draw(st.integers(0, 255))
    tried(name, bytes(broken[: data.draw(st.integers(1, len(broken)))]))


@pytest.mark.skipif(importlib.util.find_spec("atheris") is None, reason="needs atheris")
def test_a_search_along_the_branches_finds_nothing() -> None:
    run = [sys.executable, "-m", "tests.fuzz.run", "4", "any"]
    done = subprocess.run(run, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "any stands after" in done.stdout

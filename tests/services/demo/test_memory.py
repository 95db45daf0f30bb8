"""Memory is that of the whole tree of processes, at its highest."""

import os
import subprocess
import sys
import time

import pytest

from services.demo.memory import PROC, PeakMemory, taken, tree

pytestmark = pytest.mark.skipif(not PROC.is_dir(), reason="measured on Linux only")
GREEDY = "x = bytearray(b'1') * 60_000_000; print('full', flush=True); input()"


def test_a_child_is_of_the_tree_and_its_memory_counts() -> None:
    with PeakMemory(os.getpid()) as memory:
        before = taken(os.getpid())
        with subprocess.Popen(
            [sys.executable, "-c", GREEDY], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        ) as child:
            assert child.stdout is not None
            assert child.stdout.readline() == "full\n"
            assert child.pid in tree(os.getpid())
            assert taken(child.pid) > 60_000_000
            time.sleep(1.2)  # it looks every second
            child.communicate("\n")
    assert memory.bytes > before / 2 + 60_000_000
    assert memory.gigabytes == memory.bytes / 1e9


def test_a_process_that_has_ended_takes_nothing() -> None:
    child = subprocess.Popen([sys.executable, "-c", ""])
    child.wait()
    assert taken(child.pid) == 0
    assert tree(child.pid) == [child.pid]

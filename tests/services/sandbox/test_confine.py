"""What a process that decodes is left with, tried from inside one."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
TRIES = """
import _thread, json, mmap, os, resource, signal, socket, sys
from services.sandbox.confine import confine

OPEN = os.open(os.devnull, os.O_WRONLY)
in_force = confine(256 << 20, os.getppid())
tries = {
    "read a file": lambda: os.open("/etc/hostname", os.O_RDONLY),
    "write a file": lambda: os.open("/tmp/rankspace-confined", os.O_WRONLY | os.O_CREAT),
    "list a folder": lambda: os.listdir("/"),
    "look at a file": lambda: os.stat("/etc/hostname"),
    "make a socket": lambda: socket.socket(socket.AF_INET, socket.SOCK_STREAM),
    "make a local socket": lambda: socket.socketpair(),
    "start a process": lambda: os.fork(),
    "start a program": lambda: os.execv(sys.executable, [sys.executable]),
    "start a thread": lambda: _thread.start_new_thread(print, ()),
    "signal its parent": lambda: os.kill(os.getppid(), 0),
    "become root": lambda: os.setuid(0),
    "raise its memory": lambda: resource.setrlimit(resource.RLIMIT_AS, (-1, -1)),
    "limit its parent": lambda: resource.prlimit(os.getppid(), resource.RLIMIT_CPU),
    "share memory": lambda: os.memfd_create("x"),
    "take much memory": lambda: bytearray(512 << 20),
}
left = []
for name, action in tries.items():
    try:
        action()
        left.append(name)
    except (OSError, ValueError, MemoryError, RuntimeError):
        pass
bytearray(64 << 20)  # what it is for still works
os.write(1, json.dumps([in_force, left]).encode())
os._exit(0)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux can take all of it")
def test_nothing_is_left_but_computing() -> None:
    done = subprocess.run(
        [sys.executable, "-c", TRIES], cwd=ROOT, capture_output=True, check=True, timeout=60
    )
    in_force, left = json.loads(done.stdout)
    assert {"limits", "calls", "parent"} <= set(in_force)
    assert left == []


COMPUTE = """
import os
from services.sandbox.confine import allow_seconds, confine
confine(256 << 20, os.getppid())
allow_seconds(1)
while True:
    pass
"""


def test_a_process_that_computes_for_too_long_is_ended() -> None:
    done = subprocess.run(
        [sys.executable, "-c", COMPUTE], cwd=ROOT, capture_output=True, check=False, timeout=60
    )
    assert done.returncode < 0
    assert not done.stderr

"""Takes from this process all that decoding does not need, for good.

What can be taken differs from system to system; the names of what was taken are returned:

    limits    memory, processor time, open files, file sizes, no core dumps
    user      a process of root becomes nobody
    network   a network of its own with nothing in it (Linux)
    calls     no system calls but those of `seccomp.py` (Linux on x86-64 and arm64)
    parent    it dies with the process that started it (Linux)

Without `calls` a broken decoder could still read files and, without `network`, open connections.
"""

import ctypes
import os
import resource
import signal
import sys
from contextlib import suppress
from pathlib import Path

from services.sandbox import seccomp

PROTECTIONS = ("limits", "user", "network", "calls", "parent")
_NOBODY = 65534
_FILES = 3
"""Standard input, output and error are open; nothing more can be."""

_SET_PDEATHSIG, _SET_DUMPABLE, _SET_NO_NEW_PRIVS = 1, 4, 38
_NEW_IPC, _NEW_USER, _NEW_NET = 0x0800_0000, 0x1000_0000, 0x4000_0000


def die_with(parent: int) -> bool:
    """End when the parent does, and at once if it has; False where the system cannot do that."""
    if sys.platform != "linux":
        return False
    done = _prctl(_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(1)
    return done


def confine(memory_bytes: int, parent: int) -> list[str]:
    """Take everything that can be taken; its names. Everything must be imported and open."""
    found = {"limits": _limit(memory_bytes)}
    if sys.platform == "linux":
        found["network"] = _leave_network()
    found["user"] = _become_nobody()
    if sys.platform == "linux":
        _prctl(_SET_DUMPABLE, 0)
        found["parent"] = die_with(parent)  # again: another user's process forgets it
        found["calls"] = _prctl(_SET_NO_NEW_PRIVS, 1) and seccomp.install()
    return [name for name in PROTECTIONS if found.get(name)]


def allow_seconds(seconds: int) -> None:
    """Let the process compute so much longer and no more."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    soft = int(used.ru_utime + used.ru_stime) + 1 + seconds
    resource.setrlimit(resource.RLIMIT_CPU, (soft, resource.getrlimit(resource.RLIMIT_CPU)[1]))


def _limit(memory_bytes: int) -> bool:
    most = _mapped_bytes() + memory_bytes
    with suppress(OSError):  # where memory runs out, the kernel takes this process first
        Path("/proc/self/oom_score_adj").write_text("1000", "ascii")
    for kind in (resource.RLIMIT_CORE, resource.RLIMIT_FSIZE):
        resource.setrlimit(kind, (0, 0))
    resource.setrlimit(resource.RLIMIT_NOFILE, (_FILES, _FILES))
    with suppress(OSError, ValueError):  # not every system has these two or obeys them
        resource.setrlimit(resource.RLIMIT_NPROC, (0, 0))
        resource.setrlimit(resource.RLIMIT_AS, (most, most))
        return True
    return False


def _mapped_bytes() -> int:
    """Address space in use, the libraries and the shared memory in it."""
    if sys.platform != "linux":
        return 0
    # Read before files cannot be opened any more.
    return int(Path("/proc/self/statm").read_text("ascii").split()[0]) * resource.getpagesize()


def _leave_network() -> bool:
    libc = ctypes.CDLL(None, use_errno=True)
    alone = _NEW_NET | _NEW_IPC
    return libc.unshare(alone) == 0 or libc.unshare(alone | _NEW_USER) == 0


def _become_nobody() -> bool:
    if os.geteuid() != 0:
        return False
    try:
        os.setgroups([])
        os.setgid(_NOBODY)
        os.setuid(_NOBODY)
    except OSError:  # a container may forbid it
        return False
    return True


def _prctl(option: int, value: int) -> bool:
    libc = ctypes.CDLL(None, use_errno=True)
    done: int = libc.prctl(option, ctypes.c_ulong(value), 0, 0, 0)
    return done == 0

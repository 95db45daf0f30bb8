"""The system calls that are left to a process that decodes: memory, clocks, and what it holds open.

Everything else is answered with EPERM: no file is opened, no socket made, no program or process
started, no other process signalled or traced. A call by another calling convention than the
machine's own ends the process.

Source: Linux, Documentation/userspace-api/seccomp_filter.rst; the numbers are those of
arch/x86/entry/syscalls/syscall_64.tbl and include/uapi/asm-generic/unistd.h.
"""

import ctypes
import platform
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

_ALLOWED: Mapping[str, tuple[int, int]] = MappingProxyType(
    # The numbers on x86-64 and on arm64.
    {
        "read": (0, 63), "write": (1, 64), "close": (3, 57), "lseek": (8, 62), "ppoll": (271, 73),
        "mmap": (9, 222), "mprotect": (10, 226), "munmap": (11, 215), "brk": (12, 214),
        "mremap": (25, 216), "madvise": (28, 233), "rt_sigaction": (13, 134),
        "rt_sigprocmask": (14, 135), "rt_sigreturn": (15, 139), "sigaltstack": (131, 132),
        "restart_syscall": (219, 128), "nanosleep": (35, 101), "clock_nanosleep": (230, 115),
        "clock_gettime": (228, 113), "clock_getres": (229, 114), "gettimeofday": (96, 169),
        "getrusage": (98, 165), "sysinfo": (99, 179), "getpid": (39, 172), "gettid": (186, 178),
        "sched_yield": (24, 124), "sched_getaffinity": (204, 123), "futex": (202, 98),
        "getrandom": (318, 278), "exit": (60, 93), "exit_group": (231, 94),
    }
)  # fmt: skip
_X86_ONLY = (7,)  # poll, which arm64 never had


@dataclass(frozen=True, slots=True)
class _Machine:
    """What differs from processor to processor."""

    column: int
    audit: int
    seccomp: int
    prlimit: int
    others: tuple[int, ...]


_MACHINES: Mapping[str, _Machine] = MappingProxyType(
    {
        "x86_64": _Machine(0, 0xC000_003E, 317, 302, _X86_ONLY),
        "aarch64": _Machine(1, 0xC000_00B7, 277, 261, ()),
    }
)
_LOAD, _EQUAL, _AT_LEAST, _RETURN = 0x20, 0x15, 0x35, 0x06
_NUMBER, _ARCH, _FIRST_ARGUMENT = 0, 4, 16
_ALLOW, _REFUSE, _KILL = 0x7FFF_0000, 0x0005_0001, 0x8000_0000
_X32 = 0x4000_0000
_SET_MODE_FILTER, _ALL_THREADS = 1, 1


class _Program(ctypes.Structure):
    """struct sock_fprog."""

    _fields_ = [("length", ctypes.c_ushort), ("filter", ctypes.c_char_p)]


def install() -> bool:
    """Put the filter over every thread of this process for good; False where that cannot be.

    PR_SET_NO_NEW_PRIVS must be in force.
    """
    machine = _MACHINES.get(platform.machine())
    if machine is None or platform.system() != "Linux":
        return False
    code = program(machine)
    whole = _Program(len(code) // 8, code)
    libc = ctypes.CDLL(None, use_errno=True)
    done: int = libc.syscall(machine.seccomp, _SET_MODE_FILTER, _ALL_THREADS, ctypes.byref(whole))
    return done == 0


def program(machine: _Machine) -> bytes:
    """The filter, eight bytes an instruction: code, jump if true, jump if false, operand."""
    numbers = [pair[machine.column] for pair in _ALLOWED.values()]
    steps = [
        (_LOAD, 0, 0, _ARCH),
        (_EQUAL, 1, 0, machine.audit),
        (_RETURN, 0, 0, _KILL),
        (_LOAD, 0, 0, _NUMBER),
        (_AT_LEAST, 0, 1, _X32),
        (_RETURN, 0, 0, _KILL),
    ]
    for number in (*numbers, *machine.others):
        steps += [(_EQUAL, 0, 1, number), (_RETURN, 0, 0, _ALLOW)]
    # Limits of its own it may lower; those of another process are none of its business.
    steps += [
        (_EQUAL, 0, 5, machine.prlimit),
        (_LOAD, 0, 0, _FIRST_ARGUMENT),
        (_EQUAL, 0, 3, 0),
        (_LOAD, 0, 0, _FIRST_ARGUMENT + 4),
        (_EQUAL, 0, 1, 0),
        (_RETURN, 0, 0, _ALLOW),
        (_RETURN, 0, 0, _REFUSE),
    ]
    return b"".join(struct.pack("<HBBI", *step) for step in steps)

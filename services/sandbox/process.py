"""The server's side of one process that decodes: started, asked under a deadline, ended.

It starts from a bare interpreter, never by a fork of the server: nothing of the server's memory,
environment, threads or open files is in it.
"""

import mmap
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any

from rankspace.errors import Overloaded
from rankspace.media.heads import HEAD_BYTES, ROW
from rankspace.media.limits import Limits
from services.sandbox.config import SandboxConfig
from services.sandbox.confine import PROTECTIONS
from services.sandbox.messages import HEADS_AT_ONCE, Nonsense, length, packed, unpacked
from services.telemetry.metrics import SANDBOX_DEATHS

_AT_ONCE = 1 << 18
"""Bytes of a message that are read in one call."""

_KEPT_BYTES = 4 << 20
"""So much of the shared memory is kept for the next question; what lies beyond is given back."""


class Died(Exception):
    """The process has ended, or said what none of ours would, or nothing in time."""

    def __init__(self, how: str) -> None:
        super().__init__(how)
        SANDBOX_DEATHS.add()
        self.how = how
        """"time" if it computed or waited for too long, else "fault"."""


class Worker:
    """One process. Use from one thread at a time; after `Died` only `end` it."""

    def __init__(self, config: SandboxConfig, limits: Limits) -> None:
        self.fresh = True
        """Nobody's media have been in it yet."""

        self.dead = False
        """It has ended, or is not to be asked again."""

        self.size = _memory_bytes(limits)
        memory = _memory(self.size)
        ours, theirs = socket.socketpair()
        try:
            self._process = subprocess.Popen(
                [sys.executable, "-c", "from services.sandbox.worker import main; main()"],
                stdin=theirs.fileno(),
                stdout=memory,
                cwd="/",
                env=_environment(),
                start_new_session=True,  # Ctrl-C is for the server
            )
            self.media = memoryview(mmap.mmap(memory, self.size))
        except OSError as error:
            ours.close()
            raise _cannot_start() from error
        finally:
            theirs.close()
            os.close(memory)
        self._socket = ours
        self._coming = b""
        self.pid = self._process.pid
        """Its number on this system."""

        self.protections = self._begin(config, limits)

    def ask(self, question: object, media: Iterable[bytes | memoryview], seconds: float) -> Any:
        """Put media into the shared memory, ask, and wait for the answer. Raises Died."""
        self._put(media)
        return self._exchange(question, seconds)

    def begin(self, question: object, media: Iterable[bytes | memoryview]) -> None:
        """The same without waiting: `hear` tells the answer once there is one. Raises Died."""
        self._put(media)
        self._coming = b""
        message = packed(question)
        try:
            self._socket.settimeout(0)
            sent = self._socket.send(message)
        except OSError:
            sent = 0
        if sent < len(message):  # there is room for it unless the process has gone
            raise self._died("fault")

    def fileno(self) -> int:
        """What becomes readable when there is something to `hear`."""
        return self._socket.fileno()

    def hear(self) -> tuple[Any] | None:
        """The answer to what was begun; None: not all of it is there yet. Raises Died."""
        try:
            more = self._socket.recv(_AT_ONCE)
            self._coming += more
            if not more or _excess(self._coming) > 0:
                raise Nonsense
            return (unpacked(self._coming[4:]),) if _excess(self._coming) == 0 else None
        except BlockingIOError:
            return None
        except (Nonsense, OSError):
            raise self._died("fault") from None

    def late(self) -> "Died":
        """It has thought for too long: what to raise."""
        return self._died("time")

    def forget(self, size: int) -> None:
        """Give back what the last question used of the shared memory, if it was much."""
        arena = self.media.obj
        if size > _KEPT_BYTES and isinstance(arena, mmap.mmap) and hasattr(mmap, "MADV_REMOVE"):
            arena.madvise(mmap.MADV_REMOVE, 0, self.size)

    def kill(self) -> None:
        """End the process; who waits for its answer hears that it died. From any thread."""
        self._process.kill()

    def end(self) -> None:
        """Kill the process and free what was shared with it."""
        self.kill()
        self._process.wait()
        self._socket.close()
        arena = self.media.obj
        self.media.release()
        with suppress(BufferError):  # somebody still looks at the answer; freed when they let go
            if isinstance(arena, mmap.mmap):
                arena.close()

    def _put(self, media: Iterable[bytes | memoryview]) -> None:
        self.fresh = False
        at = 0
        for data in media:
            self.media[at : at + len(data)] = data
            at += len(data)

    def _died(self, how: str) -> "Died":
        self.dead = True
        return Died(how)

    def _begin(self, config: SandboxConfig, limits: Limits) -> tuple[str, ...]:
        setup = {
            "parent": os.getpid(),
            "limits": limits.model_dump(mode="json"),
            "config": config.model_dump(mode="json"),
            "bytes": self.size,
        }
        try:
            match self._exchange(setup, config.start_s):
                case {"protections": [*names]}:
                    return tuple(name for name in PROTECTIONS if name in names)
        except Died:
            self.end()
            raise _cannot_start() from None
        self.end()
        raise _cannot_start()

    def _exchange(self, message: object, seconds: float) -> Any:
        until = time.monotonic() + seconds
        try:
            self._socket.settimeout(seconds)
            self._socket.sendall(packed(message))
            return unpacked(self._heard(until))
        except TimeoutError:
            raise self.late() from None
        except (Nonsense, OSError):
            raise self._died(self._how()) from None

    def _heard(self, until: float) -> bytes:
        """One message; it says nothing unasked, so most come whole at the first look."""
        data = b""
        while (excess := _excess(data)) < 0:
            if data:
                self._socket.settimeout(max(0.001, until - time.monotonic()))
            more = self._socket.recv(_AT_ONCE)
            if not more:
                raise ConnectionError
            data += more
        if excess:
            raise Nonsense
        return data[4:]

    def _how(self) -> str:
        """Why it has gone silent: the kernel ends it with SIGXCPU when its time is used up."""
        with suppress(subprocess.TimeoutExpired):
            if self._process.wait(1) == -signal.SIGXCPU:
                return "time"
        return "fault"


def _excess(data: bytes) -> int:
    """How many bytes are there beyond one message; below 0: so many are missing at least."""
    return len(data) - 4 - (length(data[:4]) if len(data) >= 4 else 0)


def _memory_bytes(limits: Limits) -> int:
    """Room for any part as sent, for any decoded (frames, and sound beside them), for heads."""
    sound = 4 * 16_000 * int(limits.video_seconds_max + 1) * 2
    heads = HEADS_AT_ONCE * (ROW.size + HEAD_BYTES)
    most = max(limits.part_bytes_max, limits.decoded_bytes_max + sound, heads)
    return -(-most // mmap.PAGESIZE) * mmap.PAGESIZE


def _memory(size: int) -> int:
    """A file of this size that lies in memory; pages exist once they are written to.

    On Linux it is sealed: who shrank it would crash whoever reads it.
    """
    if sys.platform != "linux":
        with tempfile.TemporaryFile() as file:
            os.ftruncate(file.fileno(), size)
            return os.dup(file.fileno())
    import fcntl

    memory = os.memfd_create("media", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    os.ftruncate(memory, size)
    fcntl.fcntl(memory, fcntl.F_ADD_SEALS, fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW)
    return memory


def _environment() -> dict[str, str]:
    """None of the server's: its settings may hold secrets. One thread, where libraries ask."""
    threads = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
    return {"PYTHONPATH": str(Path(__file__).parents[2]), "LC_ALL": "C.UTF-8", **threads}


def _cannot_start() -> Overloaded:
    return Overloaded("no process to decode media in could be started; come again", "", 1.0)

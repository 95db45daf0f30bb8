"""C++ beside the package, compiled once by the user's own compiler: where there is none, nothing.

    sources ─▶ c++ ─▶ a library in the user's cache folder ─▶ loaded by whoever asked

A library is kept under a name made of its sources, the flags, the compiler and the machine, so it
is made anew where any of them changed. It is written beside and renamed, so several processes may
make it at once. Nothing is tuned for one processor: code that wants more asks the processor first.
"""

import hashlib
import os
import platform
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from functools import cache
from pathlib import Path

FLAGS = (
    "-std=c++17", "-O2", "-fstack-protector-strong", "-U_FORTIFY_SOURCE", "-D_FORTIFY_SOURCE=2",
    "-shared", "-fPIC",
)  # fmt: skip
"""What reads bytes of strangers ends the process sooner than it writes past a buffer."""

COMPILERS = ("c++", "g++", "clang++")
SECONDS_MAX = 120


def compiler() -> str | None:
    """Where a compiler is."""
    return next(filter(None, map(shutil.which, COMPILERS)), None)


@cache
def library(*sources: Path) -> Path | None:
    """Where the library of these sources lies, made if need be; None where that cannot be done."""
    found = compiler()
    if found is None:
        return None
    try:
        return _made(found, sources)
    except (OSError, RuntimeError, subprocess.SubprocessError):  # RuntimeError: nobody's home
        return None


def compile_to(path: Path, program: str, sources: Sequence[Path], flags: Sequence[str]) -> None:
    """Compile these sources into a library. Raises OSError or SubprocessError."""
    command = [program, *flags, *map(str, sources), "-o", str(path)]
    subprocess.run(command, check=True, capture_output=True, timeout=SECONDS_MAX)  # noqa: S603


def _made(program: str, sources: Sequence[Path]) -> Path:
    version = subprocess.run([program, "--version"], check=True, capture_output=True).stdout  # noqa: S603
    texts = [source.read_bytes() for source in sources]
    told = b"\0".join((*texts, " ".join(FLAGS).encode(), version, platform.machine().encode()))
    home = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "rankspace"
    home.mkdir(mode=0o700, parents=True, exist_ok=True)
    path = home / f"{sources[0].stem}-{hashlib.sha256(told).hexdigest()[:24]}.so"
    if not path.exists():
        with tempfile.TemporaryDirectory(dir=home) as folder:
            part = Path(folder) / path.name
            compile_to(part, program, sources, FLAGS)
            part.replace(path)
    return path

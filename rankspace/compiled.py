"""C++ beside the package, compiled once by the user's own compiler: where there is none, nothing.

    sources ─▶ c++ ─▶ a library in the user's cache folder ─▶ loaded by whoever asked

A library is kept under a name made of its sources, the flags, the compiler and the machine, so it
is made anew where any of them changed. It is written beside and renamed, so several processes may
make it at once. Headers stand among the sources and are not compiled by themselves. Code that is
tuned for one processor says `tuned` what that is.
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
def library(
    *sources: Path, flags: Sequence[str] = FLAGS, tuned: bytes = platform.machine().encode()
) -> Path | None:
    """Where the library of these sources lies, made if need be; None where that cannot be done."""
    found = compiler()
    if found is None:
        return None
    try:
        return _made(found, sources, flags, tuned)
    except (OSError, RuntimeError, subprocess.SubprocessError):  # RuntimeError: nobody's home
        return None


def compile_to(path: Path, program: str, sources: Sequence[Path], flags: Sequence[str]) -> None:
    """Compile these sources into a library. Raises OSError or SubprocessError."""
    units = [str(source) for source in sources if source.suffix == ".cpp"]
    command = [program, *flags, *units, "-o", str(path)]
    subprocess.run(command, check=True, capture_output=True, timeout=SECONDS_MAX)  # noqa: S603


def _made(program: str, sources: Sequence[Path], flags: Sequence[str], tuned: bytes) -> Path:
    version = subprocess.run([program, "--version"], check=True, capture_output=True).stdout  # noqa: S603
    told = b"\0".join((*map(Path.read_bytes, sources), " ".join(flags).encode(), version, tuned))
    home = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "rankspace"
    home.mkdir(mode=0o700, parents=True, exist_ok=True)
    path = home / f"{sources[0].stem}-{hashlib.sha256(told).hexdigest()[:24]}.so"
    if not path.exists():
        with tempfile.TemporaryDirectory(dir=home) as folder:
            part = Path(folder) / path.name
            compile_to(part, program, sources, flags)
            part.replace(path)
    return path

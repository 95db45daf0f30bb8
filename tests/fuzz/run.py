"""Coverage-guided fuzzing of one target after the other, or of all at once: see `targets.py`.

    python -m tests.fuzz.run SECONDS [TARGET…]      each target for so long; "any": all in one run

A finding ends a run with status 1; the bytes that caused it are shown, to become a test in
`test_fuzz.py`. Libraries are not instrumented: it is our parsers whose branches guide the search.
"""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

SECONDS_MAX = 10
"""One input may take so long."""

BYTES_MAX = 1 << 14
"""An input is at most so long."""

FOLDER = "RANKSPACE_FUZZ_FOLDER"
"""Set in a process that fuzzes: where its inputs lie."""


def fuzz(name: str, folder: Path, seconds: int) -> None:
    """Fuzz one target in this process, which then ends."""
    import atheris

    ours = ["rankspace.media", "rankspace.wire", "services.readers", "services.sandbox"]
    with atheris.instrument_imports(include=ours):
        from tests.fuzz.targets import seeds, tried

    for number, seed in enumerate(seeds(name)):
        (folder / f"seed-{number}").write_bytes(seed)

    def one(data: bytes) -> None:
        tried(name, data)

    options = (
        f"-max_total_time={seconds}", f"-timeout={SECONDS_MAX}", f"-max_len={BYTES_MAX}",
        "-rss_limit_mb=2048", f"-artifact_prefix={folder}/finding-", "-seed=1",
        "-print_final_stats=1", "-verbosity=0",
    )  # fmt: skip
    atheris.Setup([name, *options, str(folder)], one)
    atheris.Fuzz()


def main() -> int:
    """Fuzz what the command line names; 1 if a target has fallen."""
    seconds, *names = sys.argv[1:]
    if FOLDER in os.environ:
        fuzz(names[0], Path(os.environ[FOLDER]), int(seconds))
    from tests.fuzz.targets import TARGETS

    return max(_apart(name, seconds) for name in names or TARGETS)


def _apart(name: str, seconds: str) -> int:
    """Fuzz one target in a process of its own, and say how that went."""
    with tempfile.TemporaryDirectory() as folder:
        done = subprocess.run(
            [sys.executable, "-m", "tests.fuzz.run", seconds, name],
            env=os.environ | {FOLDER: folder},
            capture_output=True,
            text=True,
            check=False,
        )
        lines = done.stderr.splitlines()
        inputs = [line.split()[-1] for line in lines if "number_of_executed_units" in line]
        end = "fell" if done.returncode else "stands"
        sys.stdout.write(f"{name} {end} after {''.join(inputs) or 'no'} inputs\n")
        if done.returncode:
            sys.stdout.write(done.stdout + done.stderr)
            for found in Path(folder).glob("finding-*"):
                sys.stdout.write(f"{found.name}: {found.read_bytes()!r}\n")
        return int(done.returncode != 0)


if __name__ == "__main__":
    sys.exit(main())

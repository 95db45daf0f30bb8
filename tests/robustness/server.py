"""The server under test: a real `rankspace serve`, from any copy of the tree, that may be hurt."""

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path

TREE = Path(__file__).parent.parent.parent
STARTS_WITHIN_S = 60
SETTINGS = {
    # Small, so that a short run meets pages, blobs and polls often.
    "RANKSPACE_STORE__INLINE_BYTES_MAX": "1000",
    "RANKSPACE_STORE__PAGE_ROWS": "8",
    "RANKSPACE_STORE__SEGMENT_BYTES": "65536",
    "RANKSPACE_ENGINE__POLL_S": "0.05",
    "RANKSPACE_GATEWAY__GRACE_S": "0.3",
    "RANKSPACE_STORE__GROWING_TAKEN_S": "2",
    "RANKSPACE_STORE__GROWING_MEDIA_MAX": "1000",
    "OMP_NUM_THREADS": "1",
}


PROGRAM = """
import ctypes
ctypes.CDLL(None).prctl(1, 9)  # PR_SET_PDEATHSIG: it does not outlive the test, however that ends
from services.cli import main
main()
"""


class Gone(Exception):
    """The server ended instead of serving; its last words."""


class Server:
    """`rankspace serve` on a folder. `environment` is added to that of this process."""

    def __init__(
        self,
        folder: Path,
        data: Path,
        tree: Path = TREE,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self.folder, self._data = folder, data
        self._tree = tree
        self.environment = dict(environment or {})
        """Counts from the next start on."""

        self._process: subprocess.Popen[bytes] | None = None
        self.port = 0

    async def start(self) -> None:
        """Return once it serves. Raises Gone if it ends before."""
        self.folder.mkdir(parents=True, exist_ok=True)
        port_file = self.folder / "port"
        port_file.unlink(missing_ok=True)
        paths = {"PYTHONPATH": str(self._tree), "RANKSPACE_GATEWAY__PORT_FILE": str(port_file)}
        with self.log.open("ab") as log:
            command = [sys.executable, "-c", PROGRAM, "serve", "--address", "127.0.0.1:0"]
            self._process = subprocess.Popen(  # noqa: ASYNC220 - over at once
                [*command, "--folder", str(self._data)],
                env=os.environ | SETTINGS | paths | self.environment,
                cwd=self._tree,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        until = time.monotonic() + STARTS_WITHIN_S
        while not (port_file.exists() and port_file.read_text()):
            if self._process.poll() is not None or time.monotonic() > until:
                self.kill()
                raise Gone(self.log.read_text("utf-8", "replace")[-2000:])
            await asyncio.sleep(0.02)
        self.port = int(port_file.read_text())

    @property
    def log(self) -> Path:
        """What it said, of all its lives."""
        return self.folder / "log"

    def kill(self) -> None:
        """Kill -9, its workers as well."""
        self._signal(signal.SIGKILL)
        if self._process is not None:
            self._process.wait(timeout=30)

    def pause(self) -> None:
        """Stop it where it stands."""
        self._signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Let it go on."""
        self._signal(signal.SIGCONT)

    async def terminate(self) -> None:
        """Ask it to drain, and wait; kill it if it takes too long."""
        self._signal(signal.SIGTERM)
        for _ in range(500):
            if self._process is None or self._process.poll() is not None:
                break
            await asyncio.sleep(0.02)
        self.kill()

    def _signal(self, number: signal.Signals) -> None:
        if self._process is not None and self._process.returncode is None:
            try:
                os.killpg(self._process.pid, number)
            except ProcessLookupError:
                self._process.poll()

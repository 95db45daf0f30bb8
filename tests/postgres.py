"""A real PostgreSQL server that tests start, restart, kill and remove themselves.

It listens on loopback, on a port of the system's choice, and keeps its data in a folder of its own:
in memory where there is room, since tests stop its processes and never the power. PostgreSQL
refuses to run as root; it then runs as its own user, or as nobody. It ends with the process that
started it, however that ends.
"""

import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from itertools import count
from pathlib import Path

import psycopg

STARTS_WITHIN_S = 30.0
MEMORY = Path("/dev/shm")  # noqa: S108 - only to hold a folder that mkdtemp names
ROOM_BYTES = 2 << 30
MISSING = "PostgreSQL is not installed; on Debian: apt-get install postgresql"


def binaries() -> Path | None:
    """Where PostgreSQL's programs lie; the newest, if there are several."""
    found = [path.parent for path in Path("/usr/lib/postgresql").glob("*/bin/initdb")]
    if found:
        return max(found, key=lambda folder: float(folder.parent.name))
    on_path = shutil.which("initdb")
    return Path(on_path).resolve().parent if on_path else None


class Postgres:
    """One server. After a restart it has the same port and the same data."""

    def __init__(self, programs: Path) -> None:
        self._programs = programs
        self._user = _unprivileged()
        self._folder = Path(tempfile.mkdtemp(prefix="rankspace-postgres-", dir=_place()))
        self._schemas = count()
        self._process: subprocess.Popen[bytes] | None = None
        self.port = _free_port()
        if self._user is not None:
            os.chown(self._folder, self._user.pw_uid, self._user.pw_gid)
        initdb = [*_as(self._user), programs / "initdb", "-D", self._data, "-U", "rankspace"]
        initdb += ["--auth=trust", "--no-sync", "--encoding=UTF8", "--locale=C"]
        done = subprocess.run(initdb, cwd=self._folder, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr

    @property
    def _data(self) -> Path:
        return self._folder / "data"

    def start(self) -> None:
        """Return once it takes connections."""
        settings = {
            "listen_addresses": "127.0.0.1",
            "port": self.port,
            "unix_socket_directories": "",
            "max_connections": 200,
            "shared_buffers": "32MB",
            "max_wal_size": "256MB",
        }
        options = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
        with (self._folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [*_as(self._user), self._programs / "postgres", "-D", self._data, *options],
                cwd=self._folder,
                stdout=log,
                stderr=log,
            )
        until = time.monotonic() + STARTS_WITHIN_S
        while not self._answers():
            assert self._process.poll() is None, (self._folder / "log").read_text()
            assert time.monotonic() < until, (self._folder / "log").read_text()
            time.sleep(0.05)

    def end(self, how: signal.Signals = signal.SIGINT) -> None:
        """Stop it: SIGINT ends sessions and is clean, SIGQUIT is a crash of all its processes."""
        if self._process is not None and self._process.poll() is None:
            self._process.send_signal(how)
            self._process.wait(timeout=30)

    def restart(self, how: signal.Signals = signal.SIGINT) -> None:
        """Stop it and start it again."""
        self.end(how)
        self.start()

    def fresh(self) -> str:
        """The address of an empty room of its own: a schema. Starts a server that lies dead."""
        if self._process is None or self._process.poll() is not None:
            self.start()
        name = f"room{next(self._schemas)}_{os.getpid()}"
        with psycopg.connect(self.url, autocommit=True) as connection:
            connection.execute(f"CREATE SCHEMA {name}")
        return f"{self.url}?options=-csearch_path%3D{name}"

    @property
    def url(self) -> str:
        """The address of the server's first database."""
        return f"postgresql://rankspace@127.0.0.1:{self.port}/postgres"

    def remove(self) -> None:
        """Stop it and delete all it has."""
        self.end()
        shutil.rmtree(self._folder)

    def _answers(self) -> bool:
        try:
            psycopg.connect(self.url, connect_timeout=2).close()
        except psycopg.OperationalError:
            return False
        return True


def running() -> Iterator[Postgres]:
    """A server, as long as somebody needs it."""
    programs = binaries()
    assert programs is not None, MISSING
    server = Postgres(programs)
    try:
        server.start()
        yield server
    finally:
        server.remove()


def _unprivileged() -> pwd.struct_passwd | None:
    """Whom to be where we are root; None: ourselves."""
    if os.geteuid() != 0:
        return None
    known = {entry.pw_name: entry for entry in pwd.getpwall()}
    return known.get("postgres") or known["nobody"]


def _place() -> Path | None:
    """Where its data lies; None: where temporary files lie."""
    roomy = MEMORY.is_dir() and shutil.disk_usage(MEMORY).free >= ROOM_BYTES
    return MEMORY if roomy else None


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _as(user: pwd.struct_passwd | None) -> list[str | Path]:
    """A command before a command: be somebody else, and end when we end, however that is.

    A program does it, since anything between fork and exec crashes at times where gRPC has threads.
    """
    setpriv = shutil.which("setpriv")
    assert setpriv is not None, "setpriv is not installed; on Debian: apt-get install util-linux"
    command: list[str | Path] = [setpriv, "--pdeathsig", "QUIT"]
    if user is not None:
        whose = ["--reuid", str(user.pw_uid), "--regid", str(user.pw_gid), "--clear-groups"]
        command += whose
    return command

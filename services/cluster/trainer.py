"""The server's side of the driver: start it with the first job, stop it with the server."""

import asyncio
import fcntl
import json
import os
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import TextIO, cast

from rankspace.errors import Refused, Unreachable
from rankspace.store.config import StoreConfig
from rankspace.store.store import Store
from services.cluster.config import ClusterConfig
from services.cluster.performing import PROGRAM, fail

_PATH_MAX = 107 - len("/session_2026-01-01_00-00-00_000000_4194304/sockets/plasma_store.1")
"""A socket's path has 107 bytes; so many are left for the folder of Ray."""


POLL_S = 0.1
Process = subprocess.Popen[str]

FOLDER = "ray-"
"""How the names of Ray's folders begin; in the store's folder."""

LOCK = "lock"
"""A file in that folder, locked while its driver lives."""

LOG = "ray.log"
"""What the driver and failed workers say; in the store's folder."""


class RayTrainer:
    """Runs jobs with Ray Train; see `services.engine.Trainer`."""

    def __init__(
        self, store: StoreConfig, config: ClusterConfig | None = None, program: str = PROGRAM
    ) -> None:
        self._store = store
        self._config = config or ClusterConfig()
        self._program = program
        self._driver: _Driver | None = None
        self._turn = asyncio.Lock()
        self._begun: dict[str, int] = {}
        self._watching: asyncio.Task[None] | None = None

    async def start(self, job_id: str, term: int = 0) -> None:
        async with self._turn:
            driver = self._driver
            if driver is None or not driver.runs:
                try:
                    driver = await self._begin()
                except OSError as error:
                    problem = f"the process that drives training cannot start: {error.strerror}"
                    raise Unreachable(problem) from error
            self._begun[job_id] = term
            await driver.ask({"job": job_id, "term": term})

    async def close(self) -> None:
        if self._watching is not None:
            self._watching.cancel()
        if self._driver is not None:
            await self._driver.stop()

    async def _begin(self) -> "_Driver":
        folder = await asyncio.to_thread(_prepare, self._store.folder)
        local = self._config.address == "local"
        process = await asyncio.to_thread(_spawn, self._store.folder / LOG, folder, local)
        self._driver = driver = _Driver(process, self._config, folder)
        self._begun.clear()
        self._watching = asyncio.create_task(self._bury(driver))
        settings = {
            "store": self._store.model_dump(mode="json"),
            "cluster": self._config.model_dump(mode="json"),
            "program": self._program,
            "folder": str(folder),
        }
        await driver.ask(settings)
        return driver

    async def _bury(self, driver: "_Driver") -> None:
        """When the driver dies by itself, its jobs have failed."""
        await driver.ended()
        message = "the process that drives training died; memory may be short; submit the job again"
        await asyncio.to_thread(self._fail, message)

    def _fail(self, message: str) -> None:
        with Store.open(self._store) as store:
            for job_id, term in self._begun.items():
                fail(store, job_id, message, term)


class _Driver:
    """The driver's process: lines of JSON in, one line of JSON back for each."""

    def __init__(self, process: Process, config: ClusterConfig, folder: Path) -> None:
        self.process = process
        self._config = config
        self._folder = folder
        self._input, self._output = cast(TextIO, process.stdin), cast(TextIO, process.stdout)

    @property
    def runs(self) -> bool:
        """Whether the process is alive."""
        return self.process.poll() is None

    async def ask(self, message: object) -> None:
        """Send a line and wait until it was acted upon; the answer is what kept it from that."""
        try:
            asking = asyncio.to_thread(self._exchange, json.dumps(message))
            line = await asyncio.wait_for(asking, self._config.start_s)
        except (OSError, TimeoutError):
            line = ""
        if not line:
            await self.stop()
            raise Unreachable(f"Ray did not start; {LOG} in the store's folder says why")
        if problem := json.loads(line):
            raise Refused(problem)

    def _exchange(self, line: str) -> str:
        self._input.write(line + "\n")
        self._input.flush()
        return self._output.readline()

    async def stop(self) -> None:
        """End the input, the driver's sign to take Ray down; kill it if that takes too long."""
        await asyncio.to_thread(self._hang_up)
        try:
            async with asyncio.timeout(self._config.stop_s):
                await self.ended()
        except TimeoutError:
            self.process.kill()
        await self.ended()

    async def ended(self) -> None:
        """Wait until the driver has ended, and see to it that all of its Ray has."""
        while self.runs:  # noqa: ASYNC110 - a process sets no event
            await asyncio.sleep(POLL_S)
        await asyncio.to_thread(end_session, self.process.pid)
        await asyncio.to_thread(
            shutil.rmtree, self._folder, ignore_errors=True
        )  # nobody writes now
        await asyncio.to_thread(self._hang_up)
        self._output.close()

    def _hang_up(self) -> None:
        with suppress(OSError):  # it may have died with something unread
            self._input.close()


def _spawn(log: Path, folder: Path, local: bool) -> Process:
    """Start a driver, without the event loop; it holds the lock of its folder until it ends.

    uvloop forks, and the child then runs what gRPC and Python have registered for forks. One driver
    in about fifteen did not live to run a line of ours. `subprocess` starts it by vfork, where
    nothing of that kind runs.
    """
    with log.open("ab") as file, (folder / LOCK).open("ab") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        return subprocess.Popen(
            [sys.executable, "-c", "from services.cluster.driver import drive; drive()"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=file,
            text=True,
            env=_environment(folder, local),
            pass_fds=(lock.fileno(),),
            start_new_session=True,  # Ctrl-C is for the server, which stops us when it has drained
        )


def end_session(leader: int) -> None:
    """Kill what is left of a session (on Linux; elsewhere Ray is trusted to end)."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        # ProcessLookupError: it has ended meanwhile
        with suppress(FileNotFoundError, ProcessLookupError):
            session = int(stat.read_text().rpartition(")")[2].split()[3])
            if session == leader:
                found.append(int(stat.parent.name))
    for process in sorted(found, key=leader.__eq__):  # the leader, who may be asking, comes last
        with suppress(ProcessLookupError):
            os.kill(process, signal.SIGKILL)


def _environment(folder: Path, local: bool) -> dict[str, str]:
    """What a driver, and all of Ray below it, starts with."""
    paths = [str(Path(__file__).parents[2]), *filter(None, [os.environ.get("PYTHONPATH")])]
    common = {
        "PYTHONPATH": os.pathsep.join(paths),
        "RAY_CHDIR_TO_TRIAL_DIR": "0",
        "RAY_TRAIN_V2_ENABLED": "1",
        "RAY_USAGE_STATS_ENABLED": "0",
    }
    if not local:
        return {**os.environ, **common}
    token = folder / "token"
    token.touch(0o600)
    token.write_text(secrets.token_hex(32), "ascii")
    private = {
        "RAY_AUTH_MODE": "token",
        "RAY_AUTH_TOKEN_PATH": str(token),
        "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",  # all that makes Ray listen on loopback only
        "RAY_TRAIN_ENABLE_PREEMPTION_WATCHER": "0",
        "RAY_TRAIN_METRICS_ENABLED": "0",
    }
    return {**os.environ, **common, **private}


def _prepare(store: Path) -> Path:
    """An empty folder for Ray, which the driver removes; short, for sockets lie in it.

    Each has a name of its own: where one server takes the place of another that has died, the Ray
    of that one may still be ending.
    """
    for left in store.absolute().glob(f"{FOLDER}*"):
        if _is_left(left):
            shutil.rmtree(left, ignore_errors=True)
    folder = store.absolute() / f"{FOLDER}{secrets.token_hex(3)}"
    if len(str(folder).encode()) > _PATH_MAX:
        return Path(tempfile.mkdtemp(prefix="rankspace-"))
    folder.mkdir(mode=0o700, parents=True)
    return folder


def _is_left(folder: Path) -> bool:
    """Whether a folder is of a driver that was killed: nobody holds its lock."""
    try:
        with (folder / LOCK).open("ab") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return True
    except OSError:
        return False

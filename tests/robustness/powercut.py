"""The disk as it is when the power comes back: what was synced, and any part of what was not.

`disk.c` keeps a journal of all that a process does to a folder. Played on the folder as it was,
it gives, for every file, what is on the platter and what only the page cache knew. A cut keeps of
the latter whatever chance picks: nothing, all, the first writes, any of them, the last one torn
between sectors. Names are as strict as POSIX: a new, renamed or removed one stays only once its
folder was synced; of later ones a cut keeps the first few, as a journaling file system does. Writes
whose sync failed are on the platter or lost, and no later sync brings them there
(wiki.postgresql.org/wiki/Fsync_Errors).
"""

import atexit
import random
import shutil
import struct
import subprocess
import tempfile
from collections.abc import Iterator
from copy import deepcopy
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

SOURCE = Path(__file__).with_name("disk.c")
COMPILER = shutil.which("cc")
RECORD = struct.Struct("<IIQqII")  # struct record of disk.c
CONTROL = struct.Struct("<qqqq")  # struct control of disk.c
LENGTH = struct.Struct("<q")
SECTOR = 512
BLOCK = 1 << 16


@dataclass(slots=True)
class File:
    """A file: the platter's bytes, and the writes and cuts that only the cache knows."""

    platter: bytearray = field(default_factory=bytearray)
    cached: list[tuple[int, bytes | None]] = field(default_factory=list)
    """Position and bytes; None: the file ends at that position."""

    folder: bool = False

    def settle(self, changes: list[tuple[int, bytes | None]]) -> None:
        """Bring changes to the platter."""
        for at, data in changes:
            end = at + len(data or b"")
            self.platter.extend(bytes(max(0, end - len(self.platter))))
            if data is None:
                del self.platter[at:]
            else:
                self.platter[at:end] = data


@dataclass(frozen=True, slots=True)
class Naming:
    """A name that a file was given (None: it was taken away), and the one before."""

    name: Path
    file: File | None
    before: Path | None = None

    def touches(self, folder: Path) -> bool:
        """Whether a sync of this folder brings it to the platter."""
        return folder in (self.name.parent, self.before.parent if self.before else None)


class Platter:
    """A folder's disk, followed along a journal."""

    def __init__(self, folder: Path, chance: random.Random) -> None:
        self._root, self.chance = folder, chance
        self._names: dict[Path, File] = {}
        self._live: dict[Path, File] = {}
        self._inodes: dict[int, File] = {}
        self._folders: dict[int, Path] = {}
        self._namings: list[Naming] = []
        self._begun: dict[tuple[int, int], int] = {}
        self._begun_names: dict[tuple[int, int], list[Naming]] = {}
        for path in [folder, *folder.rglob("*")]:
            data = b"" if path.is_dir() else path.read_bytes()
            self._born(path, path.stat().st_ino, File(bytearray(data), folder=path.is_dir()))
        self._names = dict(self._live)

    def play(self, journal: Path) -> None:
        """Follow all that was done."""
        for kind, inode, at, first, second in records(journal):
            self._step(kind, inode, at, first, second)

    def _step(self, kind: str, inode: int, at: int, first: bytes, second: bytes) -> None:
        name = Path(first.decode("utf-8", "replace")) if kind in "crum" else self._root
        match kind:
            case "c" | "m":
                file = File(folder=kind == "m")
                self._born(name, inode, file)
                self._namings.append(Naming(name, file))
            case "r":
                moved = self._live.pop(name)
                assert not moved.folder, "a folder that moves is not modelled"
                self._live[Path(second.decode())] = moved
                self._namings.append(Naming(Path(second.decode()), moved, name))
            case "u":
                self._live.pop(name, None)
                self._namings.append(Naming(name, None))
            case "w" | "t":
                self._inodes[inode].cached.append((at, first if kind == "w" else None))
            case "h":
                self._inodes[inode].cached.append((at, bytes(LENGTH.unpack(first)[0])))
            case _:
                self._sync(kind, inode, at)

    def _born(self, name: Path, inode: int, file: File) -> None:
        self._inodes[inode] = self._live[name] = file
        if file.folder:
            self._folders[inode] = name

    def _sync(self, kind: str, inode: int, number: int) -> None:
        file = self._inodes[inode]
        if kind == "b":
            self._begun[inode, number] = len(file.cached)
            self._begun_names[inode, number] = list(self._namings)
            return
        count, namings = self._begun.pop((inode, number)), self._begun_names.pop((inode, number))
        covered, file.cached = file.cached[:count], file.cached[count:]
        for key in self._begun:
            if key[0] == inode:  # another sync of this file is under way
                self._begun[key] = max(0, self._begun[key] - count)
        if kind == "f":
            covered = [one for one in covered if self.chance.random() < 0.5]
        elif file.folder:
            self._settle([one for one in namings if one.touches(self._folders[inode])])
        file.settle(covered)

    def _settle(self, namings: list[Naming]) -> None:
        for one in namings:
            if not any(one is other for other in self._namings):
                continue  # another sync was faster
            self._namings = [other for other in self._namings if other is not one]
            if one.before:
                self._names.pop(one.before, None)
            if one.file:
                self._names[one.name] = one.file
            else:
                self._names.pop(one.name, None)

    def cut(self) -> None:
        """Make the folder what it is after a power cut at the end of the journal."""
        self._settle(self._namings[: self.chance.randint(0, len(self._namings))])
        shutil.rmtree(self._root)
        self._root.mkdir()
        for path in sorted(self._names):
            file = self._names[path]
            if file.folder:
                path.mkdir(exist_ok=True, parents=path == self._root)
            elif path.parent.is_dir():
                file.settle(self._kept(file.cached))
                _lay(path, file.platter)

    def _kept(self, cached: list[tuple[int, bytes | None]]) -> list[tuple[int, bytes | None]]:
        """What of the cached writes reached the platter before the power went."""
        how = self.chance.choice(["none", "all", "first", "any", "torn"])
        first = cached[: self.chance.randint(0, len(cached))]
        if how == "torn" and first and first[-1][1]:
            at, data = first.pop()
            sectors = self.chance.randint(0, len(data or b"") // SECTOR)
            first.append((at, (data or b"")[: sectors * SECTOR]))
        some = [one for one in cached if self.chance.random() < 0.5]
        return {"none": [], "all": cached, "first": first, "any": some, "torn": first}[how]


def _lay(path: Path, data: bytearray) -> None:
    """Write a file, and leave a hole wherever there are zeros only."""
    with path.open("wb") as file:
        for at in range(0, len(data), BLOCK):
            block = data[at : at + BLOCK]
            if block.count(0) < len(block):
                file.seek(at)
                file.write(block)
        file.truncate(len(data))


def records(journal: Path) -> Iterator[tuple[str, int, int, bytes, bytes]]:
    """The journal's records: kind, inode, position or number, and two byte strings."""
    with journal.open("rb") as file:
        while len(head := file.read(RECORD.size)) == RECORD.size:
            size, kind, inode, at, first, second = RECORD.unpack(head)
            body = file.read(size - RECORD.size)
            yield chr(kind), inode, at, body[:first], body[first : first + second]


class Disk:
    """A folder on a disk that can fail; see `environment` for the process that uses it."""

    def __init__(self, folder: Path, beside: Path, seed: int) -> None:
        """`beside` keeps the shim's journal and its control, outside of the folder."""
        beside.mkdir(parents=True, exist_ok=True)
        self.folder, self._library = folder.absolute(), shim()
        self._journal, self._control = beside / "journal", beside / "control"
        self._chance = random.Random(seed)
        self._sync_us = self._chance.choice([100, 1000, 5000])
        self.set()
        self.begin()

    @property
    def environment(self) -> dict[str, str]:
        """What makes a process work on this disk."""
        return {
            "LD_PRELOAD": str(self._library),
            "RS_DISK_ROOT": str(self.folder),
            "RS_DISK_JOURNAL": str(self._journal),
            "RS_DISK_CONTROL": str(self._control),
        }

    def set(self, failing: int = 0, room: int = -1, database_only: bool = False) -> None:
        """Syncs in a thousand that fail, of all or of the database, and free bytes (-1: enough)."""
        with self._control.open("r+b" if self._control.exists() else "wb") as file:
            file.write(CONTROL.pack(failing, room, self._sync_us, database_only))

    def begin(self) -> None:
        """Take the folder as it is; nobody may be working on it."""
        self.folder.mkdir(parents=True, exist_ok=True)
        self._journal.write_bytes(b"")
        self._platter = Platter(self.folder, self._chance)

    def cut(self) -> None:
        """Bring the folder to what a power cut would have left; its users have been killed."""
        self._platter.play(self._journal)
        self._platter.cut()
        self.begin()

    def cuts(self, times: int) -> Iterator[None]:
        """What cuts at this moment may leave, one after the other; nobody may be working on it."""
        for seed in range(times):
            platter = deepcopy(self._platter)
            platter.chance = random.Random(seed)
            platter.play(self._journal)
            platter.cut()
            yield
        self.begin()


@cache
def shim() -> Path:
    """The shim, built once by each process that needs it."""
    assert COMPILER is not None, "install a C compiler (cc) to cut the power"
    folder = Path(tempfile.mkdtemp(prefix="robustness-disk-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    flags = ["-O2", "-shared", "-fPIC", "-Wall", "-Wextra", "-Werror"]
    words = ["-o", str(folder / "disk.so"), str(SOURCE), "-ldl", "-lpthread"]
    subprocess.run([COMPILER, *flags, *words], check=True)
    return folder / "disk.so"

"""Who listens where, as Linux tells it: sockets of /proc/net by the processes that hold them."""

import ipaddress
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

LISTEN = "0A"
ESTABLISHED = "01"
Address = ipaddress.IPv4Address | ipaddress.IPv6Address


@dataclass(frozen=True)
class Listener:
    """One listening TCP socket."""

    process: int
    program: str
    address: Address
    port: int

    @property
    def is_loopback(self) -> bool:
        """Whether only this machine can reach it."""
        inner = getattr(self.address, "ipv4_mapped", None)
        return (inner or self.address).is_loopback


def family(root: int, mark: str) -> set[int]:
    """A process, what it has started, and whatever knows the mark from its environment."""
    parents, found = {}, {root}
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            parents[int(folder.name)] = int(
                (folder / "stat").read_text().rpartition(")")[2].split()[1]
            )
            if mark.encode() in (folder / "environ").read_bytes():
                found.add(int(folder.name))
        except OSError:
            continue  # it has ended meanwhile, or is not ours
    while more := {child for child, parent in parents.items() if parent in found} - found:
        found |= more
    return found


def listeners(processes: set[int]) -> Iterator[Listener]:
    """Every listening TCP socket of these processes."""
    for process in processes:
        folder = Path("/proc", str(process))
        try:
            links = [str(link.readlink()) for link in (folder / "fd").iterdir()]
            program = (folder / "comm").read_text().strip()
            tables = [(folder / "net" / name).read_text() for name in ("tcp", "tcp6")]
        except OSError:
            continue
        held = {link[8:-1] for link in links if link.startswith("socket:[")}
        for row in (line.split() for table in tables for line in table.splitlines()[1:]):
            if row[3] == LISTEN and row[9] in held:
                address, port = row[1].split(":")
                yield Listener(process, program, _address(address), int(port, 16))


def _address(text: str) -> Address:
    """An address from words of 32 bits, each with its lowest byte first."""
    words = [bytes.fromhex(text[at : at + 8])[::-1] for at in range(0, len(text), 8)]
    return ipaddress.ip_address(b"".join(words))


def answering(processes: set[int], port: int) -> dict[int, int]:
    """Which of these processes answers each connection to a port, by the caller's own port."""
    rows = [
        line.split()
        for table in ("tcp", "tcp6")
        for line in Path("/proc/net", table).read_text().splitlines()[1:]
    ]
    ports = {
        row[9]: int(row[2].rpartition(":")[2], 16)
        for row in rows
        if row[3] == ESTABLISHED and int(row[1].rpartition(":")[2], 16) == port
    }
    found: dict[int, int] = {}
    for process in processes:
        try:
            links = [str(link.readlink()) for link in Path("/proc", str(process), "fd").iterdir()]
        except OSError:
            continue
        sockets = {link[8:-1] for link in links if link.startswith("socket:[")}
        found |= {ports[held]: process for held in sockets & ports.keys()}
    return found

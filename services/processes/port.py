"""The port that several processes share: taken once, so that no other program is on it.

A socket of the supervisor's is bound to the port as any server's would be, which fails if somebody
listens there. Only then it lets others of the same user bind to it too (SO_REUSEPORT). It never
listens itself: the kernel hands connections to the sockets that do.
"""

import socket
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager

from rankspace.errors import InvalidConfig

FIELD = "gateway.address"


@contextmanager
def reserved(address: str) -> Iterator[str]:
    """Hold HOST:PORT for the length of the block, which is given the address with its number."""
    host, _, port = address.rpartition(":")
    if not host or not port.isdecimal() or int(port) >= 1 << 16:
        raise InvalidConfig(f"{address} is no address that processes share; write HOST:PORT", FIELD)
    with ExitStack() as stack:
        number = int(port)
        for family, where in _places(host.strip("[]")):
            held = stack.enter_context(socket.socket(family, socket.SOCK_STREAM))
            number = _taken(held, (where, number), address)
        yield f"{host}:{number}"


def _places(host: str) -> Sequence[tuple[socket.AddressFamily, str]]:
    """The addresses of a host that this machine has."""
    try:
        found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    except OSError as error:
        raise InvalidConfig(f"{host} is no host that is known here", FIELD) from error
    places = [(family, str(where[0])) for family, _, _, _, where in found]
    ours = [place for place in places if _is_here(*place)]
    if not ours:
        raise InvalidConfig(f"{host} is no address of this machine", FIELD)
    return ours


def _is_here(family: socket.AddressFamily, where: str) -> bool:
    try:
        with socket.socket(family, socket.SOCK_STREAM) as tried:
            tried.bind((where, 0))
    except OSError:
        return False
    return True


def _taken(held: socket.socket, place: tuple[str, int], address: str) -> int:
    """Bind a socket, alone, then let it be joined; its port."""
    held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if held.family == socket.AF_INET6:
        held.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
    try:
        held.bind(place)
        held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    except OSError as error:
        raise InvalidConfig(
            f"cannot listen on {address}; another program may be there", FIELD
        ) from error
    return int(held.getsockname()[1])

"""A shared port: nobody else can be on it, those who are meant to can, and it takes no calls."""

import socket
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from rankspace.errors import InvalidConfig
from services.processes.port import reserved


@contextmanager
def listening(port: int, shared: bool) -> Iterator[int]:
    """A program that listens on a port of loopback."""
    with socket.socket() as held:
        held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, int(shared))
        held.bind(("127.0.0.1", port))
        held.listen()
        yield int(held.getsockname()[1])


def is_answered(port: int) -> bool:
    with socket.socket() as caller:
        caller.settimeout(5)
        return caller.connect_ex(("127.0.0.1", port)) == 0


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "0.0.0.0", "[::]"])  # noqa: S104
def test_several_listen_on_a_reserved_port_and_nobody_before_they_do(host: str) -> None:
    with reserved(f"{host}:0") as address:
        name, _, port = address.rpartition(":")
        assert name == host
        assert not is_answered(int(port))
        with listening(int(port), shared=True), listening(int(port), shared=True):
            assert is_answered(int(port))


@pytest.mark.parametrize("shared", [True, False])
def test_a_port_on_which_somebody_listens_is_refused(shared: bool) -> None:
    with (
        listening(0, shared) as port,
        pytest.raises(InvalidConfig, match="another program may be there"),
        reserved(f"127.0.0.1:{port}"),
    ):
        pass


@pytest.mark.parametrize(
    "address", ["", "50051", "127.0.0.1", "127.0.0.1:x", "127.0.0.1:65536", "192.0.2.1:50051"]
)
def test_what_is_no_address_of_this_machine_is_refused(address: str) -> None:
    with pytest.raises(InvalidConfig) as refused, reserved(address):
        pass
    assert refused.value.field == "gateway.address"

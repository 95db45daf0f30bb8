"""The connection: nothing starts early, tokens stay safe, patience has an end, forks are told."""

import asyncio
import subprocess
import sys
import time

import pytest

from rankspace.client import AsyncClient, Client, Tls
from rankspace.client.connection import Connection, Patience
from rankspace.errors import (
    InvalidConfig,
    NotFound,
    Overloaded,
    RankspaceError,
    Refused,
    Unreachable,
)

NOBODY = "127.0.0.1:1"
"""Port 1 (tcpmux) has no listener anywhere any more."""


@pytest.mark.parametrize("target", ["example.org:1", "dns:///example.org:1", "10.0.0.1:1"])
def test_a_token_never_crosses_a_network_in_the_clear(target: str) -> None:
    Connection(target, token="t")  # noqa: S106  # TLS by default
    Connection(target, token="t", tls=Tls(roots=b""))  # noqa: S106
    with pytest.raises(InvalidConfig, match="use tls"):
        Connection(target, token="t", tls=False)  # noqa: S106


@pytest.mark.parametrize("target", ["localhost:1", "127.0.0.9:1", "[::1]:1", "unix:/run/r.sock"])
def test_this_host_needs_no_tls(target: str) -> None:
    assert Connection(target, token="t")._tls is None  # noqa: S106
    assert Connection(target, tls=True)._tls == Tls()


def test_a_client_starts_nothing_before_its_first_call() -> None:
    code = (
        "import sys, threading; from rankspace.client import Client; Client('localhost:1');"
        "print(threading.active_count(), *{'torch', 'ray', 'pyarrow'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["1"]


async def test_an_absent_server_is_unreachable_at_once() -> None:
    began = time.monotonic()
    async with AsyncClient(NOBODY) as client:
        with pytest.raises(Unreachable, match=f"no server answers at {NOBODY}"):
            await client.get_stream("s")
    assert time.monotonic() - began < 10


def test_streaming_calls_bear_with_an_absent_server_as_long_as_told() -> None:
    with Client(NOBODY, patience_s=0.5) as client:
        for call in (
            lambda: client.append("s", []),
            lambda: next(client.read("s")),
            lambda: next(client.watch_job("j")),
        ):
            began = time.monotonic()
            with pytest.raises(Unreachable):
                call()
            assert 0.4 < time.monotonic() - began < 10


async def test_patience_bears_what_may_pass_and_nothing_else() -> None:
    patience = Patience(limit_s=10.0)
    await patience.wait(Unreachable("gone"))
    await patience.wait(Overloaded("busy", retry_after_s=0.01))
    error: RankspaceError
    for error in (NotFound("no"), Refused("no")):
        with pytest.raises(type(error)):
            await patience.wait(error)


async def test_patience_ends_and_begins_anew_with_every_step_forward() -> None:
    patience = Patience(limit_s=0.05)
    began = asyncio.get_running_loop().time()

    async def hope() -> None:
        for _ in range(99):
            await patience.wait(Unreachable("gone"))

    with pytest.raises(Unreachable):
        await hope()
    assert asyncio.get_running_loop().time() - began >= 0.05
    patience.renew()
    await patience.wait(Unreachable("gone"))


def test_a_forked_child_is_told_instead_of_hanging() -> None:
    code = f"""
import os
from rankspace.client import Client
from rankspace.errors import Refused, Unreachable
used = Client({NOBODY!r})
try:
    used.get_stream("s")
except Unreachable:
    pass
if os.fork() == 0:
    try:
        used.get_stream("s")
    except Refused as error:
        print(error, flush=True)
    os._exit(0)
os.wait()
used.close()
"""
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=30
    )
    assert "forked" in done.stdout
    assert "never awaited" not in done.stderr


def test_a_process_that_forgets_to_close_ends_all_the_same() -> None:
    code = f"""
from rankspace.client import Client
from rankspace.errors import Unreachable
client = Client({NOBODY!r})
try:
    client.get_stream("s")
except Unreachable:
    print("so it is")
"""
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=30
    )
    assert done.stdout == "so it is\n"
    assert done.stderr == ""


def test_a_closed_client_opens_anew() -> None:
    client = Client(NOBODY)
    for _ in range(2):
        with client, pytest.raises(Unreachable):
            client.get_stream("s")


def test_the_blocking_client_has_every_call_of_the_other() -> None:
    calls = {name for name in dir(AsyncClient) if not name.startswith("_")}
    assert calls == {name for name in dir(Client) if not name.startswith("_")}
    for name in calls:
        assert getattr(Client, name).__doc__, name

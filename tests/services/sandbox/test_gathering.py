"""Samples that are looked at together are told apart, and nobody suffers for another."""

import asyncio
import gc
import os
import signal
import time
from pathlib import Path

from rankspace.errors import InvalidInput
from rankspace.media import encode
from rankspace.media.limits import Limits
from rankspace.media.sample import Part, Sample
from services.sandbox.config import SandboxConfig
from services.sandbox.decoding import Sandbox
from tests.worlds import part, picture, tone

PNG = encode.png(picture(1))
GOOD = Part("image", PNG)
BAD = Part("image", PNG[:20])
BATCHES = [
    [Sample("a", (GOOD,)), Sample("b", (BAD,)), Sample("c", (GOOD, BAD))],
    [Sample("a", (part("text"),))],
    [Sample("a", (Part("audio", encode.wav(tone(400))),))],
    [Sample("a", (Part("audio", encode.mp3(tone(400))), BAD)), Sample("b", (GOOD,))],
    [Sample("a", (GOOD,))] * 300,
    [Sample("a", (BAD,))],
]


def told(found: list[InvalidInput | None]) -> list[str | None]:
    return [f"{error.field}: {error.message}" if error else None for error in found]


async def test_what_is_asked_at_the_same_time_is_answered_as_if_it_were_asked_alone() -> None:
    with Sandbox(SandboxConfig(workers=2), Limits()) as sandbox:
        alone = [told(await asyncio.to_thread(sandbox.check, batch)) for batch in BATCHES]
        for _ in range(3):
            asked = [(batch, tenant) for batch in BATCHES for tenant in ("ann", "bob")]
            found = await asyncio.gather(*(sandbox.checked(*one) for one in asked))
            assert [told(one) for one in found] == [one for one in alone for _ in range(2)]


async def test_who_goes_away_takes_nothing_from_those_who_asked_with_him() -> None:
    with Sandbox(SandboxConfig(workers=1), Limits()) as sandbox:
        tasks = [asyncio.create_task(sandbox.checked(batch)) for batch in BATCHES * 2]
        await asyncio.sleep(0)
        for task in tasks[::3]:
            task.cancel()
        found = await asyncio.gather(*tasks, return_exceptions=True)
        for at, (batch, one) in enumerate(zip(BATCHES * 2, found, strict=True)):
            if at % 3 == 0:
                assert isinstance(one, asyncio.CancelledError)
            else:
                assert isinstance(one, list)
                assert told(one) == told(await asyncio.to_thread(sandbox.check, batch))


async def test_a_process_that_is_gone_or_says_nothing_is_replaced() -> None:
    config = SandboxConfig(workers=1, probe_s_max=1, patience=1)
    with Sandbox(config, Limits()) as sandbox:
        for signal_ in (signal.SIGKILL, signal.SIGSTOP):
            assert await sandbox.checked([Sample("a", (GOOD,))]) == [None]
            (pid,) = sandbox.processes
            os.kill(pid, signal_)
            began = time.monotonic()
            found = await sandbox.checked([Sample("a", (GOOD,)), Sample("b", (BAD,))])
            assert [error is None for error in found] == [True, False]
            assert time.monotonic() - began < 15
            assert sandbox.processes != (pid,)


async def test_the_loop_goes_on_while_a_process_says_nothing() -> None:
    config = SandboxConfig(workers=1, probe_s_max=1, patience=1)
    with Sandbox(config, Limits()) as sandbox:
        assert await sandbox.checked([Sample("a", (GOOD,))]) == [None]
        os.kill(sandbox.processes[0], signal.SIGSTOP)
        asking = asyncio.create_task(sandbox.checked([Sample("a", (GOOD,))]))
        latest, before = 0.0, time.monotonic()
        while not asking.done():
            await asyncio.sleep(0.01)
            latest, before = max(latest, time.monotonic() - before), time.monotonic()
        assert asking.result() == [None]
        assert latest < 0.5


def test_a_loop_that_ends_in_the_middle_of_a_question_leaves_nothing() -> None:
    async def begun() -> int:
        sandbox = Sandbox(SandboxConfig(workers=1), Limits())
        assert await sandbox.checked([Sample("a", (GOOD,))]) == [None]
        (pid,) = sandbox.processes
        os.kill(pid, signal.SIGSTOP)
        asking = asyncio.create_task(sandbox.checked([Sample("a", (GOOD,))]))
        await asyncio.sleep(0.1)
        asking.cancel()
        sandbox.close()  # here, so that the loop has no time to hear of it
        return pid

    pid = asyncio.run(begun())
    gc.collect()  # what nobody has ended would warn now
    assert not Path(f"/proc/{pid}").exists()


def test_a_loop_that_ends_while_somebody_waits_for_his_turn_leaves_nothing() -> None:
    async def begun() -> int:
        sandbox = Sandbox(SandboxConfig(workers=1), Limits())
        assert await sandbox.checked([Sample("a", (GOOD,))]) == [None]
        (pid,) = sandbox.processes
        os.kill(pid, signal.SIGSTOP)
        tasks = [
            asyncio.create_task(sandbox.checked([Sample("a", (one,))], tenant))
            for tenant, one in (("ann", Part("audio", encode.mp3(tone(400)))), ("bob", GOOD))
        ]
        await asyncio.sleep(0.1)
        for task in tasks:
            task.cancel()
        sandbox.close()
        return pid

    pid = asyncio.run(begun())
    gc.collect()
    assert not Path(f"/proc/{pid}").exists()

"""Media are judged as in this process, but what is wrong with one of them harms nobody else."""

import asyncio
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from rankspace.errors import DecodeFailed, InvalidInput, LimitExceeded, MalformedMedia, Overloaded
from rankspace.media import decode, encode
from rankspace.media.clip import Clip
from rankspace.media.limits import Limits
from rankspace.media.probe import check
from rankspace.media.sample import MODALITIES, Frame, Part, Sample
from rankspace.media.strip.whole import strip
from services.sandbox.config import SandboxConfig
from services.sandbox.decoding import Sandbox
from tests.media.strip.planted import FILES
from tests.services.sandbox.media import many_chunks, slow_frames
from tests.worlds import part, picture, tone

ROOT = Path(__file__).parents[3]
LIMITS = Limits()
PNG = encode.png(picture(1))


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    with Sandbox(SandboxConfig(workers=1), LIMITS) as opened:
        yield opened


def media() -> list[Part]:
    """Something of every kind and encoding, good and bad."""
    wave, frames = tone(400), [picture(1), picture(2)]
    sounds = [getattr(encode, name)(wave) for name in ("wav", "flac", "ogg", "opus", "mp3")]
    pictures = [getattr(encode, name)(frames[0]) for name in ("png", "jpeg", "webp")]
    films = [encode.gif(frames, 2), encode.mp4(frames, 2, wave), encode.webm(frames, 2, wave)]
    raw = Part("audio", encode.pcm_s16le(wave), "pcm_s16le", rate_hz=16_000, channels=1)
    timed = Part("video", encoding="frames", frames=(Frame(0, PNG), Frame(5, PNG)))
    good = [
        raw, timed,
        *(Part("audio", data) for data in sounds),
        *(Part("image", data) for data in pictures),
        *(Part("video", data) for data in films),
    ]  # fmt: skip
    cut = [Part(p.modality, p.data[: len(p.data) // 2]) for p in good if p.data]
    return [*good, *cut, Part("text", "слово".encode())]


def ended(found: Callable[[], object]) -> tuple[str, ...]:
    """How a call ends, in words."""
    try:
        result = found()
    except InvalidInput as error:
        return (type(error).__name__, error.message, error.field)
    arrays = [result]
    if isinstance(result, Clip):
        arrays = [*(frame.pixels for frame in result.frames), result.audio]
        arrays.append(np.array([frame.time_us for frame in result.frames]))
    return tuple(array.tobytes().hex() for array in map(np.asarray, arrays))


def test_media_are_decoded_as_in_this_process(sandbox: Sandbox) -> None:
    for each in media():
        inside = ended(lambda: sandbox.decode(each))  # noqa: B023 - called here
        assert inside == ended(lambda: decode.media(each, LIMITS)), each.encoding  # noqa: B023


def test_samples_are_judged_as_in_this_process(sandbox: Sandbox) -> None:
    samples = [Sample(f"s{at}", (part("text"), each)) for at, each in enumerate(media())]
    found = sandbox.check(samples)
    for sample, error in zip(samples, found, strict=True):
        outside = ended(lambda: bytes(bool(check(sample, LIMITS))))  # noqa: B023
        inside = (type(error).__name__, error.message, error.field) if error else outside
        assert inside == outside
        assert (error is None) == (len(outside) == 1)


def bare(sample: Sample) -> Sample | str:
    """The sample stripped in this process, or why it is refused."""
    try:
        check(sample, LIMITS)
        return replace(sample, parts=tuple(map(strip, sample.parts)))
    except InvalidInput as error:
        return error.message


def test_samples_are_stripped_as_in_this_process(sandbox: Sandbox) -> None:
    planted = [make() for make in FILES.values()]
    samples = [Sample(f"s{at}", (part("text"), each)) for at, each in enumerate(planted + media())]
    for sample, found in zip(samples, sandbox.strip(samples), strict=True):
        outside = bare(sample)
        assert (found.message if isinstance(found, InvalidInput) else found) == outside


def processes() -> set[int]:
    """Those of this test's that decode."""
    shown = subprocess.run(
        ["ps", "-o", "pid=,args=", "--ppid", str(os.getpid())],  # noqa: S607
        capture_output=True,
        text=True,
        check=False,
    )
    return {int(line.split()[0]) for line in shown.stdout.splitlines() if "sandbox" in line}


def test_a_process_that_dies_between_two_questions_is_not_missed(sandbox: Sandbox) -> None:
    assert sandbox.check([Sample("a", (Part("image", PNG),))]) == [None]
    for pid in processes():
        os.kill(pid, signal.SIGSEGV)
    assert sandbox.check([Sample("a", (Part("image", PNG),))] * 3) == [None] * 3
    assert len(processes()) == 1


def test_what_takes_too_long_fails_alone_and_is_said_to() -> None:
    config = SandboxConfig(workers=1, decode_s_max=1)
    with Sandbox(config, LIMITS) as sandbox:
        with pytest.raises(DecodeFailed, match="more than 1 seconds"):
            sandbox.decode(Part("image", many_chunks()))
        assert isinstance(sandbox.decode(Part("image", PNG)), np.ndarray)


def test_what_takes_too_much_memory_fails_alone() -> None:
    vast = encode.png(np.zeros((4096, 4096, 3), np.uint8))
    with Sandbox(SandboxConfig(workers=1, memory_bytes_max=64 << 20), LIMITS) as sandbox:
        with pytest.raises((DecodeFailed, MalformedMedia)):
            sandbox.decode(Part("image", vast))
        assert isinstance(sandbox.decode(Part("image", PNG)), np.ndarray)


def test_the_others_of_a_pack_are_judged_though_a_process_dies_of_one() -> None:
    """A process is ended while it reads: the first of the pack keeps it busy for seconds."""
    config = SandboxConfig(workers=1, probe_s_max=1)
    slow = Part("video", encoding="frames", frames=slow_frames())
    samples = [
        Sample("a", (Part("image", PNG),)),
        Sample("b", (slow,)),
        Sample("c", (part("audio"),)),
    ]
    with Sandbox(config, LIMITS) as sandbox:
        first, second, third = sandbox.check(samples)
    assert first is None
    assert third is None
    assert isinstance(second, DecodeFailed)
    assert second.field == "parts[0].data"


def test_a_batch_that_takes_too_long_is_refused_as_a_whole() -> None:
    config = SandboxConfig(workers=1, probe_s_max=1, batch_s_max=2.5)
    slow = Sample("b", (Part("video", encoding="frames", frames=slow_frames()),))
    with Sandbox(config, LIMITS) as sandbox, pytest.raises(LimitExceeded, match="fewer samples"):
        sandbox.check([slow] * 2)


def test_a_file_that_fits_no_pack_with_others_is_read_in_one_of_its_own(sandbox: Sandbox) -> None:
    large = encode.wav_header(16_000, samples=15 << 20) + bytes(30 << 20)
    samples = [Sample(f"s{at}", (Part("audio", large),)) for at in range(3)]
    found = sandbox.check([*samples, Sample("x", (Part("image", PNG),)), *samples])
    assert [type(error) for error in found] == [LimitExceeded] * 3 + [type(None)] + [
        LimitExceeded
    ] * 3


def test_many_threads_ask_at_once_and_each_hears_its_own(sandbox: Sandbox) -> None:
    pictures = [picture(seed) for seed in range(24)]
    with ThreadPoolExecutor(8) as threads:
        found = list(threads.map(lambda x: sandbox.decode(Part("image", encode.png(x))), pictures))
    for sent, heard in zip(pictures, found, strict=True):
        assert np.array_equal(np.asarray(heard), sent)
    assert len(processes()) == 1


async def test_text_never_waits_behind_media() -> None:
    config = SandboxConfig(workers=1, probe_s_max=2)
    slow = Sample("b", (Part("video", encoding="frames", frames=slow_frames()),))
    with Sandbox(config, LIMITS) as sandbox:
        waiting = [asyncio.create_task(sandbox.checked([slow])) for _ in range(4)]
        await asyncio.sleep(0.5)
        began = time.monotonic()
        assert await sandbox.checked([Sample("a", (part("text"),))] * 64) == [None] * 64
        assert time.monotonic() - began < 0.2
        for task in waiting:
            task.cancel()
        await asyncio.gather(*waiting, return_exceptions=True)


def test_a_process_without_work_ends_and_the_next_question_starts_another() -> None:
    before = processes()
    with Sandbox(SandboxConfig(workers=1, idle_s=0.2), LIMITS) as sandbox:
        assert sandbox.check([Sample("a", (Part("image", PNG),))]) == [None]
        (pid,) = processes() - before
        stat = Path(f"/proc/{pid}/stat")
        until = time.monotonic() + 10
        while stat.exists() and stat.read_text().rpartition(")")[2].split()[0] != "Z":
            assert time.monotonic() < until
            time.sleep(0.02)
        assert sandbox.check([Sample("a", (Part("image", PNG),))]) == [None]


HOLD = """
import sys, time
from rankspace.media.limits import Limits
from rankspace.media.sample import Part, Sample
from services.sandbox.config import SandboxConfig
from services.sandbox.decoding import Sandbox

with Sandbox(SandboxConfig(workers=1), Limits()) as sandbox:
    print(sandbox.protections(), flush=True)
    time.sleep(60)
"""


@pytest.mark.skipif(not Path("/proc").exists(), reason="needs Linux to see processes")
def test_processes_die_with_the_server_though_it_is_killed() -> None:
    server = subprocess.Popen([sys.executable, "-c", HOLD], cwd=ROOT, stdout=subprocess.PIPE)
    assert server.stdout is not None
    assert b"limits" in server.stdout.readline()
    shown = subprocess.run(
        ["ps", "-o", "pid=", "--ppid", str(server.pid)],  # noqa: S607
        capture_output=True,
        text=True,
        check=True,
    )
    pids = [int(word) for word in re.findall(r"\d+", shown.stdout)]
    assert pids
    server.kill()
    server.wait()
    server.stdout.close()
    until = time.monotonic() + 10
    while any(Path(f"/proc/{pid}").exists() for pid in pids):
        assert time.monotonic() < until
        time.sleep(0.02)


def test_a_sandbox_that_is_closed_leaves_nothing() -> None:
    before = processes()
    with Sandbox(SandboxConfig(workers=2), LIMITS) as sandbox:
        with ThreadPoolExecutor(2) as threads:
            list(threads.map(sandbox.decode, [part(modality) for modality in MODALITIES] * 4))
        assert processes() > before
    assert processes() == before


async def test_closing_waits_for_nothing_that_is_being_read() -> None:
    slow = Sample("b", (Part("video", encoding="frames", frames=slow_frames()),))
    sandbox = Sandbox(SandboxConfig(workers=1, probe_s_max=60), LIMITS)
    await sandbox.checked([Sample("a", (Part("image", PNG),))])
    asking = asyncio.create_task(sandbox.checked([slow] * 8))
    await asyncio.sleep(0.3)
    began = time.monotonic()
    await asyncio.to_thread(sandbox.close)
    assert time.monotonic() - began < 2
    with pytest.raises(Overloaded):
        await asking

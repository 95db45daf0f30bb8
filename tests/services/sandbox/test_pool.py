"""Processes are lent in turn, and come back from whoever no longer wants one."""

import asyncio

from rankspace.media import encode
from rankspace.media.limits import Limits
from rankspace.media.sample import Modality, Part, Sample
from services.sandbox.config import SandboxConfig
from services.sandbox.decoding import Sandbox
from tests.services.sandbox.media import slow_frames
from tests.worlds import part, picture

LIMITS = Limits()
PNG = encode.png(picture(1))


async def test_a_tenant_with_much_that_is_slow_holds_up_no_other() -> None:
    """Whoever comes last is served after one slow pack or two, not after all of them."""
    config = SandboxConfig(workers=1, probe_s_max=5)
    slow = Sample("b", (Part("video", encoding="frames", frames=slow_frames(60)),))
    ended: list[str] = []
    others_media: tuple[tuple[str, Modality], ...] = (("ann", "image"), ("bob", "video"))

    async def ask(sandbox: Sandbox, tenant: str, sample: Sample) -> None:
        assert await sandbox.checked([sample], tenant) == [None]
        ended.append(tenant)

    with Sandbox(config, LIMITS) as sandbox:
        await ask(sandbox, "", Sample("a", (Part("image", PNG),)))
        greedy = [asyncio.create_task(ask(sandbox, "greedy", slow)) for _ in range(8)]
        await asyncio.sleep(0.05)
        others = [
            asyncio.create_task(ask(sandbox, name, Sample("a", (part(kind),))))
            for name, kind in others_media
        ]
        await asyncio.gather(*greedy, *others)
    assert ended.count("greedy") == 8
    assert ended.index("ann") <= 3
    assert ended.index("bob") <= 4


async def test_who_gives_up_waiting_takes_no_process_along() -> None:
    slow = Sample("b", (Part("video", encoding="frames", frames=slow_frames(60)),))
    fine = Sample("a", (Part("image", PNG),))
    with Sandbox(SandboxConfig(workers=1), LIMITS) as sandbox:
        for _ in range(20):
            waiting = [asyncio.create_task(sandbox.checked([fine], "a")) for _ in range(3)]
            await asyncio.sleep(0.001)
            for task in waiting:
                task.cancel()
        busy = asyncio.create_task(sandbox.checked([slow], "a"))
        await asyncio.sleep(0.05)
        busy.cancel()
        assert await sandbox.checked([fine], "b") == [None]

"""Work beside a block: it ends with it, whatever ends the block, and does not fail unheard."""

import asyncio

import pytest
import structlog

from services.meanwhile import meanwhile


class Work:
    """Goes on until it is cancelled."""

    def __init__(self) -> None:
        self.begun, self.ended = asyncio.Event(), False

    async def go_on(self) -> None:
        try:
            self.begun.set()
            await asyncio.sleep(100)
        finally:
            await asyncio.sleep(0)  # what it has to do at its end
            self.ended = True


async def fail() -> None:
    raise ZeroDivisionError


@pytest.mark.parametrize("error", [None, KeyError])
async def test_work_lasts_as_long_as_the_block_and_has_ended_with_it(
    error: type[Exception] | None,
) -> None:
    one, other = Work(), Work()
    try:
        async with meanwhile(one.go_on(), other.go_on()):
            await one.begun.wait()
            await other.begun.wait()
            assert [one.ended, other.ended] == [False, False]
            if error:
                raise error
    except KeyError:
        assert error is not None
    assert one.ended
    assert other.ended


async def test_what_fails_is_logged_and_the_block_and_the_rest_go_on() -> None:
    work = Work()
    with structlog.testing.capture_logs() as lines:
        async with meanwhile(fail(), work.go_on()):
            await asyncio.sleep(0.01)
            assert not work.ended
    assert [(line["event"], type(line["exc_info"])) for line in lines] == [
        ("bug", ZeroDivisionError)
    ]

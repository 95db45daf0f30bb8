"""Limits fit each other, and their messages can be read."""

import pytest

from rankspace.config import parse
from rankspace.errors import InvalidConfig, LimitExceeded
from rankspace.media.clip import AUDIO_RATE_HZ
from rankspace.media.limits import Limits, bounded


def test_whatever_is_within_the_default_limits_fits_the_default_budget() -> None:
    limits = Limits()
    slots = limits.video_seconds_max * limits.video_rate_max + 1
    assert 3 * limits.video_kept_pixels_max * slots <= limits.decoded_bytes_max
    assert 3 * limits.image_pixels_max <= limits.decoded_bytes_max
    assert 4 * AUDIO_RATE_HZ * limits.audio_seconds_max <= limits.decoded_bytes_max


def test_the_limit_itself_is_taken() -> None:
    bounded("parts", 3, 3)
    with pytest.raises(LimitExceeded, match=r"^parts: 4, where at most 3 are taken$"):
        bounded("parts", 4, 3, "parts")


@pytest.mark.parametrize("values", [{"image_pixels_max": 10**9}, {"text_bytes_max": 0}, {"x": 1}])
def test_limits_that_make_no_sense_are_refused(values: dict[str, int]) -> None:
    with pytest.raises(InvalidConfig):
        parse(Limits, values)

"""Text is checked and kept as sent."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rankspace.errors import LimitExceeded, MalformedMedia
from rankspace.media.limits import Limits
from rankspace.media.sample import Part
from rankspace.media.text import decode, probe

LIMITS = Limits()


@given(st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1))
def test_every_text_is_kept_byte_for_byte(text: str) -> None:
    data = text.encode()
    assert decode(Part("text", data), LIMITS) == data
    assert probe(Part("text", data), LIMITS).decoded_bytes == len(data)


@given(st.binary(min_size=1))
def test_bytes_are_taken_exactly_when_they_are_text(data: bytes) -> None:
    try:
        wanted = "\0" not in data.decode("utf-8")
    except UnicodeDecodeError:
        wanted = False
    if wanted:
        assert decode(Part("text", data), LIMITS) == data
    else:
        with pytest.raises(MalformedMedia):
            decode(Part("text", data), LIMITS)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "the text is empty"),
        (b"ab\xed\xa0\x80", "the text is not UTF-8 from byte 2 on"),
        (b"\xc0\xaf", "the text is not UTF-8 from byte 0 on"),
        (b"\xf5\x80\x80\x80", "the text is not UTF-8 from byte 0 on"),
        ("д".encode()[:1], "the text is not UTF-8 from byte 0 on"),
        ("hi".encode("utf-16-le"), "the text holds NUL at byte 1; send UTF-8 without it"),
    ],
    ids=["empty", "lone surrogate", "overlong", "beyond unicode", "cut", "utf-16"],
)
def test_a_refusal_says_where_the_text_is_broken(data: bytes, message: str) -> None:
    with pytest.raises(MalformedMedia) as caught:
        decode(Part("text", data), LIMITS)
    assert (caught.value.message, caught.value.field) == (message, "data")


def test_a_long_text_is_refused() -> None:
    limits = Limits(text_bytes_max=3)
    assert decode(Part("text", b"abc"), limits) == b"abc"
    with pytest.raises(LimitExceeded, match="bytes of text: 4, where at most 3 are taken"):
        decode(Part("text", b"abcd"), limits)

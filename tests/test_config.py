"""What is shown of settings: all of them, but no password."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import URL, make_url

from rankspace.config import HIDDEN, masked, parse
from rankspace.errors import InvalidConfig
from rankspace.store.config import StoreConfig

WORD = "hush-hush"


@given(st.text(min_size=1), st.text("abz.-_", min_size=1), st.text("ab/?=:", min_size=1))
def test_the_address_of_a_database_is_shown_with_all_but_its_password(
    password: str, user: str, option: str
) -> None:
    address = URL.create(
        "postgresql", user, f"{WORD}{password}", "db.example", 5432, "rank", {"opt": option}
    )
    shown = masked(address.render_as_string(hide_password=False))
    assert WORD not in shown
    assert make_url(shown) == address.set(password=HIDDEN)


@given(password=st.text("ab:/@?&=#%"))
def test_a_password_that_nobody_quoted_is_not_shown_either(password: str) -> None:
    assert WORD not in masked(f"postgresql://ann:{password}{WORD}@db.example/rank")


@pytest.mark.parametrize(
    ("address", "shown"),
    [
        ("postgresql://u@h/n?password=hush-hush&opt=1", "postgresql://u@h/n?password=***&opt=1"),
        (
            "postgresql://u@h/n?opt=1&SSLPassword=hush-hush",
            "postgresql://u@h/n?opt=1&SSLPassword=***",
        ),
        ("http://me:hush-hush@collector.example:4317", "http://me:***@collector.example:4317"),
        ("postgresql://u@h:5432/n?passfile=/x", "postgresql://u@h:5432/n?passfile=/x"),
        ("s3://bucket/prefix", "s3://bucket/prefix"),
        ("127.0.0.1:50051", "127.0.0.1:50051"),
    ],
)
def test_whatever_has_no_password_is_shown_as_it_is(address: str, shown: str) -> None:
    assert masked(address) == shown


def test_neither_a_config_nor_what_is_wrong_with_it_holds_a_password() -> None:
    found = parse(StoreConfig, {"folder": "/x", "url": f"postgresql://u:{WORD}@h/n"})
    assert WORD in found.address
    assert WORD not in repr(found) + str(found)
    assert "postgresql://u:***@h/n" in repr(found)
    for wrong in (
        {"folder": "/x", "blobs": f"s3://key:{WORD}@bucket"},
        {"folder": "/x", "s3": {"endpoint": f"https://key:{WORD}@s3.example"}},
        {"folder": "/x", "connections": f"postgresql://u:{WORD}@h/n"},
    ):
        with pytest.raises(InvalidConfig) as caught:
            parse(StoreConfig, wrong)
        assert WORD not in f"{caught.value} {caught.value.__cause__}"


@pytest.mark.parametrize("url", ["postgresql://u:***@h/n", "postgresql://u@h/n?password=***"])
def test_what_stands_for_a_password_is_not_taken_for_one(url: str) -> None:
    with pytest.raises(InvalidConfig, match="stands for a password"):
        parse(StoreConfig, {"folder": "/x", "url": url})

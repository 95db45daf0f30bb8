"""Aliases move and move back, and forget nothing."""

from pathlib import Path

import pytest

from rankspace.errors import InvalidInput, NotFound, Refused
from rankspace.store.aliases import Aliases
from rankspace.store.store import Store


@pytest.fixture
def aliases(store: Store, tmp_path: Path) -> Aliases:
    (tmp_path / "made").mkdir()
    (tmp_path / "made" / "network.json").write_text("{}")
    for _ in range(3):
        store.catalogue.models.register("m", tmp_path / "made", {})
    return store.catalogue.aliases


def test_rolling_back_goes_further_and_further_back(aliases: Aliases) -> None:
    for version in (1, 2, 3):
        aliases.promote("default", f"m@{version}")
    assert aliases.get("default").history == ("m@2", "m@1")
    assert aliases.roll_back("default").version == 2
    assert aliases.roll_back("default").version == 1
    with pytest.raises(Refused):
        aliases.roll_back("default")
    moved = aliases.promote("default", "m@3")
    assert (moved.revision, moved.history) == (6, ("m@1",))
    assert aliases.roll_back("default").reference == "m@1"


def test_promoting_what_stands_already_moves_nothing(aliases: Aliases) -> None:
    first = aliases.promote("default", "m@1")
    assert aliases.promote("default", "m@1") == first
    assert first.revision == 1


def test_an_alias_means_a_model_that_is_there(aliases: Aliases) -> None:
    with pytest.raises(NotFound):
        aliases.promote("default", "m@9")
    with pytest.raises(InvalidInput):
        aliases.promote("Default", "m@1")
    with pytest.raises(NotFound):
        aliases.get("default")
    with pytest.raises(NotFound):
        aliases.roll_back("default")


def test_lists_come_in_pages(aliases: Aliases) -> None:
    for name in ("b", "a", "c"):
        aliases.promote(name, "m@1")
    aliases.promote("a", "m@2")
    first = aliases.list(size=2)
    assert [(alias.alias, alias.version) for alias in first.items] == [("a", 2), ("b", 1)]
    assert [alias.alias for alias in aliases.list(2, first.next_token).items] == ["c"]

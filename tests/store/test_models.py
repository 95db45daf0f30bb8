"""Models: versions that never change, names that mean one."""

from pathlib import Path

import pytest

from rankspace.errors import Corrupt, InvalidInput, NotFound, Refused
from rankspace.store.models import Models
from rankspace.store.store import Store


@pytest.fixture
def models(store: Store) -> Models:
    return store.catalogue.models


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "made" / "codecs").mkdir(parents=True)
    (tmp_path / "made" / "network.json").write_text("{}")
    (tmp_path / "made" / "codecs" / "text.json").write_text("[]")
    return tmp_path / "made"


def test_versions_count_from_one_and_keep_their_files(models: Models, folder: Path) -> None:
    one = models.register("m", folder, {"loss": 1.0})
    (folder / "network.json").write_text("[1]")
    two = models.register("m", folder, {"loss": 0.5})
    assert (one.reference, two.reference) == ("m@1", "m@2")
    assert (models.verify(one) / "network.json").read_text() == "{}"
    assert (models.verify(two) / "network.json").read_text() == "[1]"
    assert set(one.files) == {"network.json", "codecs/text.json"}
    assert models.get("m", 1) == one
    assert one.lineage == {"loss": 1.0}


def test_a_reference_is_an_alias_a_name_or_a_version(
    models: Models, store: Store, folder: Path
) -> None:
    for _ in range(2):
        models.register("m", folder, {})
    store.catalogue.aliases.promote("default", "m@1")
    assert models.resolve("default").version == 1
    assert models.resolve("m").version == 2
    assert models.resolve("m@1").version == 1
    for reference in ("none", "m@3"):
        with pytest.raises(NotFound):
            models.resolve(reference)
    for reference in ("m@", "m@0", "m@x"):
        with pytest.raises(InvalidInput):
            models.resolve(reference)


def test_a_changed_or_an_added_file_is_corrupt(models: Models, folder: Path) -> None:
    model = models.register("m", folder, {})
    (model.folder / "more.json").write_text("")
    with pytest.raises(Corrupt, match=r"more\.json"):
        models.verify(model)
    (model.folder / "more.json").unlink()
    (model.folder / "network.json").write_text("{ }")
    with pytest.raises(Corrupt, match=r"network\.json"):
        models.verify(model)


def test_a_version_that_another_server_has_is_told_and_not_taken_for_damage(
    models: Models, folder: Path
) -> None:
    here, there = models.register("m", folder, {}), models.register("m", folder, {})
    assert models.absent() == ()
    there.folder.rename(folder.parent / "of another server")
    assert models.absent() == ("m@2",)
    assert models.verify(here) == here.folder
    with pytest.raises(Refused, match="m@2 are not on this server"):
        models.verify(there)


def test_what_a_crash_left_in_a_version_s_place_is_replaced(models: Models, folder: Path) -> None:
    models.register("m", folder, {})
    left = folder.parent / "store" / "models" / "m" / "2"
    left.mkdir()
    (left / "torn").write_text("")
    assert "torn" not in {
        path.name for path in models.verify(models.register("m", folder, {})).iterdir()
    }


def test_names_are_checked_and_a_model_has_files(models: Models, folder: Path) -> None:
    with pytest.raises(InvalidInput):
        models.register("../m", folder, {})
    with pytest.raises(InvalidInput):
        models.register("m", folder / "codecs" / "none", {})
    (folder / "empty").mkdir()
    with pytest.raises(InvalidInput):
        models.register("m", folder / "empty", {})
    assert models.list().items == ()


def test_lists_come_in_pages(models: Models, folder: Path) -> None:
    for name in ("b", "a", "a", "a", "c"):
        models.register(name, folder, {})
    first = models.list(size=2)
    assert [model.reference for model in first.items] == ["a@3", "b@1"]
    assert [model.name for model in models.list(2, first.next_token).items] == ["c"]
    newest = models.versions("a", size=2)
    assert [model.version for model in newest.items] == [3, 2]
    assert [model.version for model in models.versions("a", 2, newest.next_token).items] == [1]
    with pytest.raises(NotFound):
        models.versions("none")

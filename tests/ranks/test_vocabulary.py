"""The vocabulary is a disjoint union: every symbol has one id, in whatever order it was found."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rankspace.errors import Corrupt, InvalidConfig, InvalidInput, UnknownModality
from rankspace.media.sample import MODALITIES, Modality
from rankspace.ranks.vocabulary import END_OF_PART, PAD, Vocabulary

ROLES = st.sampled_from(["", "ru", "en", "speech-ru", "word"])
KINDS = st.lists(st.tuples(st.sampled_from(MODALITIES), ROLES), max_size=8)
SIZES = st.dictionaries(st.sampled_from(MODALITIES), st.integers(1, 40), min_size=1)

VIDEO = (("video", 16), ("image", 512), ("audio", 544))
HOUSE = Vocabulary.of(
    [("text", "ru"), ("image", ""), ("video", "clip")], [("text", 300), ("image", 512), *VIDEO]
)


@given(KINDS, SIZES, st.randoms())
def test_the_order_things_were_found_in_changes_no_id(
    kinds: list[tuple[Modality, str]], sizes: dict[Modality, int], random: st.DataObject
) -> None:
    shuffled = kinds * 2
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    one = Vocabulary.of(kinds, sizes.items())
    assert one.config == Vocabulary.of(shuffled, reversed(sizes.items())).config


@given(KINDS, SIZES, st.data())
def test_ids_become_symbols_and_back_without_loss(
    kinds: list[tuple[Modality, str]], sizes: dict[Modality, int], data: st.DataObject
) -> None:
    vocabulary = Vocabulary.of(kinds, sizes.items())
    layout = data.draw(st.permutations(sorted(sizes.items())))
    span = sum(size for _, size in layout)
    symbols = np.array(data.draw(st.lists(st.integers(0, span - 1))), np.int32)
    ids = vocabulary.to_global(layout, symbols)
    assert np.array_equal(vocabulary.to_local(layout, ids), symbols)
    assert vocabulary.mask(layout)[ids].all()


@given(KINDS, SIZES)
def test_alphabets_never_meet_and_fill_the_vocabulary(
    kinds: list[tuple[Modality, str]], sizes: dict[Modality, int]
) -> None:
    vocabulary = Vocabulary.of(kinds, sizes.items())
    masks = np.array([vocabulary.mask(name) for name in sizes])
    masks[:, END_OF_PART] = False
    marks = 3 + len(set(kinds))
    assert (masks.sum(0)[marks:] == 1).all()
    assert not masks[:, :marks].any()
    assert vocabulary.size == marks + sum(sizes.values()) == len(vocabulary.groups)


@given(KINDS, SIZES)
def test_every_id_knows_its_modality(
    kinds: list[tuple[Modality, str]], sizes: dict[Modality, int]
) -> None:
    vocabulary = Vocabulary.of(kinds, sizes.items())
    for modality, role in kinds:
        mark = vocabulary.begin(modality, role)
        assert vocabulary.kind_of(mark) == (modality, role)
        assert vocabulary.modality_of(mark) == modality
    for name, size in sizes.items():
        last = int(vocabulary.to_global(name, np.array([size - 1], np.int32))[0])
        assert vocabulary.modality_of(last) == name
        assert vocabulary.names[vocabulary.groups[last]] == name
    assert vocabulary.modality_of(PAD) is None
    assert vocabulary.kind_of(PAD) is None


def test_a_patch_is_the_same_id_in_a_photo_and_in_a_clip() -> None:
    in_clip = HOUSE.to_global(VIDEO, np.array([16 + 7], np.int32))
    assert in_clip == HOUSE.to_global("image", np.array([7], np.int32))


def test_a_kind_that_was_never_learnt_is_named_beside_those_that_were() -> None:
    with pytest.raises(UnknownModality, match="audio/word; it knows image, text/ru, video/clip"):
        HOUSE.begin("audio", "word")
    with pytest.raises(UnknownModality, match="no alphabet image of 3 symbols"):
        HOUSE.mask((("image", 3),))
    with pytest.raises(UnknownModality, match="no alphabet smell"):
        HOUSE.mask("smell")


@pytest.mark.parametrize("wrong", [-1, 512])
def test_symbols_and_ids_out_of_range_are_refused(wrong: int) -> None:
    with pytest.raises(InvalidInput, match="0 to 511"):
        HOUSE.to_global("image", np.array([wrong], np.int32))
    with pytest.raises(InvalidInput, match="another modality"):
        HOUSE.to_local("image", np.array([wrong if wrong < 0 else HOUSE.size], np.int32))


def test_an_alphabet_has_one_size_and_at_least_one_symbol() -> None:
    with pytest.raises(InvalidConfig, match="both 5 and 6"):
        Vocabulary.of([], [("text", 5), ("text", 6)])
    with pytest.raises(InvalidConfig, match="at least one symbol"):
        Vocabulary.of([], [("text", 0)])


def test_a_vocabulary_survives_its_folder(tmp_path: Path) -> None:
    HOUSE.save(tmp_path)
    assert Vocabulary.load(tmp_path).config == HOUSE.config


@pytest.mark.parametrize("content", [None, "{}", '{"kinds":[],"alphabets":[["b",1],["a",1]]}'])
def test_a_file_that_is_no_vocabulary_is_corrupt(tmp_path: Path, content: str | None) -> None:
    if content is not None:
        (tmp_path / "vocabulary.json").write_text(content)
    with pytest.raises(Corrupt):
        Vocabulary.load(tmp_path)

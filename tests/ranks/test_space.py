"""Rank space: parts are read symbol by symbol, and every symbol lies in its alphabet."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rankspace.codecs.base import Symbols, encode
from rankspace.codecs.table import CODECS
from rankspace.errors import Corrupt, UnknownModality
from rankspace.media.decode import media
from rankspace.media.limits import Limits
from rankspace.media.sample import Modality
from rankspace.ranks.coordinate import buckets
from rankspace.ranks.space import Space, codecs_hash
from rankspace.ranks.vocabulary import END_OF_PART, PAD
from tests.worlds import KINDS, codecs, messages, part, space

MODALITIES = pytest.mark.parametrize("modality", list(CODECS))


@given(messages())
def test_a_part_is_its_symbols_between_its_marks(message: tuple[Modality, Symbols]) -> None:
    modality, symbols = message
    reading = space().read(modality, "", symbols)
    assert reading.ids[0] == space().vocabulary.begin(modality)
    assert reading.ids[-1] == END_OF_PART
    layout = space().codec(modality).layout
    assert np.array_equal(space().vocabulary.to_local(layout, reading.ids[1:-1]), symbols)
    assert {len(reading.ids), len(reading.places), len(reading.buckets)} == {len(symbols) + 2}


@given(messages())
def test_every_symbol_and_the_end_lie_in_the_alphabet_of_their_position(
    message: tuple[Modality, Symbols],
) -> None:
    modality, symbols = message
    reading = space().read(modality, "", symbols)
    doors = space().alphabets_of(modality, len(symbols))
    assert len(doors) == len(symbols) + 1
    for at, (door, following) in enumerate(zip(doors, reading.ids[1:], strict=True)):
        alphabet = space().alphabets[door]
        assert alphabet.modality == modality
        assert following in alphabet.ids
        assert door == space().alphabet_at(modality, at)


@given(st.sampled_from(list(CODECS)), st.integers(0, 30))
def test_alphabets_follow_the_slots_and_only_the_first_holds_the_end(
    modality: Modality, length: int
) -> None:
    codec = codecs()[modality]
    for at, door in enumerate(space().alphabets_of(modality, length)):
        slot = codec.slots[at % len(codec.slots)]
        inside = space().vocabulary.to_global(codec.layout, np.array(slot, np.int32))
        found = set(space().alphabets[door].ids.tolist())
        assert found - {END_OF_PART} == set(inside.tolist())
        assert (END_OF_PART in found) == (at % len(codec.slots) == 0)


def test_alphabets_are_sorted_and_named_once() -> None:
    names = [alphabet.name for alphabet in space().alphabets]
    assert len(set(names)) == len(names)
    for alphabet in space().alphabets:
        assert (np.diff(alphabet.ids) > 0).all()


@MODALITIES
def test_what_a_codec_emits_is_read(modality: Modality) -> None:
    found = media(part(modality, 3), Limits())
    symbols = encode(codecs()[modality], [found])
    assert len(symbols)
    doors = space().alphabets_of(modality, len(symbols))
    ids = space().read(modality, "", symbols).ids[1:]
    assert all(name in space().alphabets[door].ids for door, name in zip(doors, ids, strict=True))


@given(messages())
def test_places_repeat_with_the_codec_and_no_two_modalities_share_one(
    message: tuple[Modality, Symbols],
) -> None:
    modality, symbols = message
    places = space().read(modality, "", symbols).places
    assert places[0] == places[-1] == 0
    cycle = codecs()[modality].cycle
    assert places[1:-1].tolist() == [space().place(modality, at) for at in range(len(symbols))]
    if cycle:
        assert len(set(places[1:-1].tolist())) == min(cycle, len(symbols))
        others = {
            space().place(name, at)
            for name, codec in codecs().items()
            for at in range(codec.cycle)
            if name != modality
        }
        assert not others & set(places[1:-1].tolist())
    assert places.max() < space().places


@given(messages())
def test_a_bucket_tells_how_unexpected_a_symbol_was(message: tuple[Modality, Symbols]) -> None:
    modality, symbols = message
    ids = space().read(modality, "", symbols).ids
    table = space().prior.bigrams()
    rows = table[np.append(np.int32(PAD), ids[:-1])]
    own = rows[np.arange(len(ids)), ids][:, None]
    earlier = np.arange(table.shape[1])[None] < ids[:, None]
    ranks = ((rows > own) | ((rows == own) & earlier)).sum(1)
    told = space().read(modality, "", symbols).buckets
    assert np.array_equal(told, buckets(ranks.astype(np.int32)))


def test_features_are_those_of_the_codecs_each_in_columns_of_its_own() -> None:
    found, column = space().features, 0
    for name in ("text", "audio", "image"):
        codec = codecs()[name]
        ids = space().vocabulary.to_global(codec.layout, np.arange(codec.size, dtype=np.int32))
        columns = slice(column, column + codec.features.shape[1])
        assert np.array_equal(found[ids, columns], codec.features)
        assert not np.delete(found, ids, axis=0)[:, columns].any()
        column = columns.stop
    assert column == found.shape[1]


def test_a_space_that_was_saved_is_the_same_space(tmp_path: Path) -> None:
    space().save(tmp_path)
    loaded = Space.load(tmp_path)
    assert codecs_hash(loaded.codecs) == codecs_hash(codecs())
    assert loaded.vocabulary.config == space().vocabulary.config
    assert np.array_equal(loaded.prior.bigram_table(), space().prior.bigram_table())
    assert [a.name for a in loaded.alphabets] == [a.name for a in space().alphabets]
    symbols = np.array([0, 5, 6, 7, 8], np.int32)
    before, after = (each.read("image", "", symbols) for each in (space(), loaded))
    for name in ("ids", "places", "buckets"):
        assert np.array_equal(getattr(before, name), getattr(after, name))


def test_a_folder_that_is_no_space_is_corrupt(tmp_path: Path) -> None:
    with pytest.raises(Corrupt):
        Space.load(tmp_path)


def test_what_was_not_learnt_is_named_with_what_was() -> None:
    less = Space.learn({"text": codecs()["text"]}, [kind for kind in KINDS if kind[0] == "text"])
    with pytest.raises(UnknownModality, match="not learnt image; it knows text"):
        less.codec("image")


def test_equal_codecs_have_one_name_and_others_another() -> None:
    fewer = dict(codecs())
    del fewer["video"]
    assert codecs_hash(dict(reversed(codecs().items()))) == codecs_hash(codecs())
    assert codecs_hash(fewer) != codecs_hash(codecs())

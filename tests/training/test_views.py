"""Views: the plain row first, then others, the same every time; parts of a row stay together."""

import dataclasses

import numpy as np
import pytest

from rankspace.codecs.base import encode
from rankspace.errors import MalformedMedia, UnknownModality
from rankspace.media.decode import media, within
from rankspace.media.limits import Limits
from rankspace.media.sample import MODALITIES, Modality, Part, Sample
from rankspace.store.tokens import TokenSample
from rankspace.training.views import Viewer
from tests.worlds import codecs, part, space

WHOLE = Sample("one", tuple(part(name, 2) for name in MODALITIES))


def rows(
    sample: Sample = WHOLE, seed: int = 0, offset: int = 0, views: int = 4
) -> list[TokenSample]:
    return Viewer(codecs(), seed, within(Limits())).rows("a", offset, sample, views)


def symbols(row: TokenSample) -> list[bytes]:
    return [each.symbols.tobytes() for each in row.parts]


def test_the_first_row_is_what_was_sent() -> None:
    for each, sent in zip(rows()[0].parts, WHOLE.parts, strict=True):
        plain = encode(codecs()[sent.modality], [media(sent, Limits())])
        assert np.array_equal(each.symbols, plain)


def test_views_are_the_same_every_time_and_others_at_another_seed_or_offset() -> None:
    one, again = ([symbols(row) for row in rows()] for _ in range(2))
    assert one == again
    assert [symbols(row) for row in rows(seed=1)][1:] != one[1:]
    assert [symbols(row) for row in rows(offset=1)][1:] != one[1:]


@pytest.mark.parametrize("modality", MODALITIES)
def test_every_view_is_a_message_of_its_codec(modality: Modality) -> None:
    for row in rows(Sample("one", (part(modality, 2),)), views=6):
        (found,) = row.parts
        reading = space().read(modality, "", found.symbols)
        doors = space().alphabets_of(modality, len(found.symbols))
        for door, following in zip(doors, reading.ids[1:], strict=True):
            assert following in space().alphabets[door].ids


def test_text_is_left_alone() -> None:
    found = {symbols(row)[0] for row in rows(Sample("one", (part("text", 2),)))}
    assert len(found) == 1


def test_what_was_sent_is_kept_back_where_there_are_other_views_of_it() -> None:
    assert [row.split for row in rows(views=3)] == ["known", "train", "train", "train"]
    assert [row.split for row in rows(views=0)] == ["train"]
    held_out = dataclasses.replace(WHOLE, labels={"split": "valid"})
    assert [row.split for row in rows(held_out, views=0)] == ["valid"]


def test_a_part_that_cannot_be_read_or_was_never_learnt_is_refused() -> None:
    with pytest.raises(MalformedMedia):
        rows(Sample("one", (Part("image", b"none"),)))
    less = dict(codecs())
    del less["audio"]
    with pytest.raises(UnknownModality, match="no codec has learnt audio"):
        Viewer(less, 0, within(Limits())).rows("a", 0, WHOLE, 2)

"""Documents: a trunk, and branches that each go on from it as if they were alone."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rankspace.ranks.vocabulary import END_OF_PART, PAD
from rankspace.store.tokens import TokenSample
from rankspace.training.documents import (
    BRANCHES,
    HIDDEN,
    TRUNK_ASKED,
    TRUNK_WEIGHT,
    Document,
    Documents,
)
from tests.training.corpus import Kind, row
from tests.worlds import KINDS, space

ROWS = st.builds(
    row,
    st.integers(0, 1000),
    st.lists(st.sampled_from(KINDS), min_size=1, max_size=5).map(tuple),
    st.integers(1, 40),
)
ALL: tuple[Kind, ...] = (("image", ""), ("audio", ""), ("text", "en"), ("text", "ru"))


def drawn(seed: int, *kinds: Kind, context: int = 200, length: int = 14) -> Document:
    random = np.random.default_rng(seed)
    return Documents(space(), context).draw(3, row(seed, kinds, length), random)


def pieces(document: Document) -> list[slice]:
    """Where the trunk and each branch lie."""
    edges = np.flatnonzero(np.diff(document.branch, prepend=-1, append=-1))
    return [slice(*pair) for pair in zip(edges[:-1].tolist(), edges[1:].tolist(), strict=True)]


@given(ROWS, st.integers(0, 1000), st.integers(8, 90))
def test_a_document_is_never_longer_than_the_context(
    sample: TokenSample, seed: int, context: int
) -> None:
    document = Documents(space(), context).draw(0, sample, np.random.default_rng(seed))
    columns = (
        document.symbols, document.places, document.buckets, document.times,
        document.branch, document.targets, document.doors, document.weights,
    )  # fmt: skip
    assert {len(column) for column in columns} == {len(document)}
    assert 0 < len(document) <= context


@given(ROWS, st.integers(0, 1000))
def test_every_piece_is_a_part_of_the_row_and_each_is_used_once(
    sample: TokenSample, seed: int
) -> None:
    document = Documents(space(), 300).draw(0, sample, np.random.default_rng(seed))
    parts = [space().read(p.modality, p.role, p.symbols) for p in sample.parts]
    used = pieces(document)
    if any(part.modality != "text" for part in sample.parts):
        assert len(used) <= 1 + BRANCHES
    for piece in used:
        found = next(
            at
            for at, part in enumerate(parts)
            if np.array_equal(part.ids, document.symbols[piece])
            and np.array_equal(part.places, document.places[piece])
            and np.array_equal(part.buckets, document.buckets[piece])
        )
        parts.pop(found)


@given(ROWS, st.integers(0, 1000))
def test_each_symbol_asks_for_the_next_of_its_own_part(sample: TokenSample, seed: int) -> None:
    document = Documents(space(), 300).draw(0, sample, np.random.default_rng(seed))
    for piece in pieces(document):
        ids, targets, doors = (
            column[piece] for column in (document.symbols, document.targets, document.doors)
        )
        assert np.array_equal(targets[:-1], ids[1:])
        assert (ids[-1], targets[-1], doors[-1]) == (END_OF_PART, 0, -1)
        for target, door in zip(targets[:-1], doors[:-1], strict=True):
            assert target in space().alphabets[door].ids


@given(ROWS, st.integers(0, 1000))
def test_branches_go_on_from_the_trunk_at_the_same_time(sample: TokenSample, seed: int) -> None:
    document = Documents(space(), 300).draw(0, sample, np.random.default_rng(seed))
    trunk, *branches = pieces(document)
    assert document.times[trunk].tolist() == list(range(trunk.stop))
    for piece in branches:
        after = range(trunk.stop, trunk.stop + piece.stop - piece.start)
        assert document.times[piece].tolist() == list(after)
    assert document.branch.tolist() == sorted(document.branch)


@given(ROWS, st.integers(0, 1000))
def test_a_part_weighs_the_root_of_its_length_and_a_trunk_less(
    sample: TokenSample, seed: int
) -> None:
    document = Documents(space(), 300).draw(0, sample, np.random.default_rng(seed))
    trunk, *branches = pieces(document)
    for piece in (trunk, *branches):
        length = piece.stop - piece.start
        share = TRUNK_WEIGHT if piece == trunk and branches else 1.0
        np.testing.assert_allclose(document.weights[piece].sum(), share * length**0.5, rtol=1e-5)


@given(st.integers(0, 1000), st.sampled_from(KINDS), st.integers(30, 60), st.integers(8, 25))
def test_a_part_beyond_the_context_is_cut_to_a_window_of_it(
    seed: int, kind: Kind, length: int, context: int
) -> None:
    document = drawn(seed, kind, context=context, length=length)
    (part,) = row(seed, (kind,), length).parts
    whole = space().read(*kind, part.symbols)
    assert len(document) == context
    assert document.symbols[0] == whole.ids[0]
    starts = [
        at
        for at in range(1, len(whole.ids) - context + 2)
        if np.array_equal(whole.ids[at : at + context - 1], document.symbols[1:])
        and np.array_equal(whole.buckets[at : at + context - 1], document.buckets[1:])
    ]
    assert starts
    for target, door in zip(document.targets[:-1], document.doors[:-1], strict=True):
        assert target in space().alphabets[door].ids
    assert document.doors[-1] == -1


def test_a_window_may_lie_anywhere() -> None:
    documents = Documents(space(), 8)
    sample = row(0, (("text", ""),), 20)
    random = np.random.default_rng(0)
    windows = {documents.draw(0, sample, random).symbols.tobytes() for _ in range(300)}
    assert len(windows) == 22 - 8 + 1


def test_media_are_read_more_often_than_they_are_made() -> None:
    random, documents, sample = np.random.default_rng(0), Documents(space(), 300), row(0, ALL)
    trunks = [
        space().vocabulary.modality_of(int(documents.draw(0, sample, random).symbols[0]))
        for _ in range(2400)
    ]
    share = {name: trunks.count(name) / 2400 for name in ("image", "audio", "text")}
    assert share["image"] == pytest.approx(share["audio"], abs=0.06)
    assert 0 < share["text"] < 0.7 * share["image"]


def test_every_kind_is_asked_for_after_every_other() -> None:
    random, documents, sample = np.random.default_rng(0), Documents(space(), 300), row(0, ALL)
    seen = set()
    for _ in range(300):
        document = documents.draw(0, sample, random)
        trunk, *branches = (document.symbols[piece.start] for piece in pieces(document))
        seen |= {(trunk, branch) for branch in branches}
    begins = [space().vocabulary.begin(*kind) for kind in ALL]
    assert seen == {(one, two) for one in begins for two in begins if one != two}


def test_several_parts_of_one_kind_are_a_trunk_and_a_branch() -> None:
    document = drawn(0, ("image", ""), ("image", ""), ("image", ""))
    assert len(pieces(document)) == 2


def test_texts_alone_stay_in_order() -> None:
    document = drawn(1, ("text", "en"), ("text", "ru"), ("text", ""))
    begins = [space().vocabulary.kind_of(int(document.symbols[p.start])) for p in pieces(document)]
    assert begins == [("text", "en"), ("text", "ru"), ("text", "")]


def test_a_branch_that_does_not_fit_is_left_out() -> None:
    document = drawn(1, ("text", "en"), ("text", "ru"), context=20)
    assert len(pieces(document)) == 1
    assert len(document) == 16


def test_a_row_is_read_in_its_view_and_answered_as_it_was_sent() -> None:
    kinds: tuple[Kind, ...] = (("image", ""), ("audio", ""))
    view, sent = row(1, kinds), row(2, kinds)
    document = Documents(space(), 200).draw(0, view, np.random.default_rng(0), sent)
    trunk, branch = pieces(document)

    def ids(sample: TokenSample) -> list[bytes]:
        return [space().ids(p.modality, p.role, p.symbols).tobytes() for p in sample.parts]

    assert document.symbols[trunk].tobytes() in ids(view)
    assert document.symbols[branch].tobytes() in ids(sent)


@given(ROWS, st.integers(0, 1000))
def test_what_is_learnt_from_is_what_is_measured_but_for_the_trunk(
    sample: TokenSample, seed: int
) -> None:
    documents = Documents(space(), 300)
    sketch = documents.sketch(0, sample, np.random.default_rng(seed))
    learnt, measured = documents.lay(sketch), documents.draw(0, sample, np.random.default_rng(seed))
    assert len(sketch) == len(learnt) == len(measured)
    trunk, *branches = pieces(learnt)
    for piece in branches:
        for column in ("symbols", "places", "buckets", "times", "targets", "doors"):
            same = getattr(learnt, column)[piece] == getattr(measured, column)[piece]
            assert same.all()
    seen, whole = learnt.symbols[trunk], measured.symbols[trunk]
    assert (seen[[0, -1]] == whole[[0, -1]]).all()
    assert set(seen[seen != whole].tolist()) <= {PAD}
    assert (learnt.targets == measured.targets).all()


def test_a_trunk_is_asked_now_and_then_and_weighs_as_much_on_average() -> None:
    random, documents, sample = np.random.default_rng(0), Documents(space(), 300), row(0, ALL)
    sketches = [documents.sketch(0, sample, random) for _ in range(3000)]
    assert {sketch.weight for sketch in sketches} == {0.0, TRUNK_WEIGHT / TRUNK_ASKED}
    mean = np.mean([sketch.weight for sketch in sketches])
    assert mean == pytest.approx(TRUNK_WEIGHT, rel=0.1)
    for sketch in sketches[:50]:
        document = documents.lay(sketch)
        trunk = pieces(document)[0]
        assert (document.doors[trunk] >= 0).any() == (sketch.weight > 0)


def test_symbols_of_media_are_hidden_and_those_of_text_are_not() -> None:
    random, documents, sample = np.random.default_rng(0), Documents(space(), 300), row(0, ALL)
    hidden: dict[str, list[float]] = {"text": [], "image": [], "audio": []}
    for _ in range(600):
        document = documents.lay(documents.sketch(0, sample, random))
        trunk = document.symbols[pieces(document)[0]]
        kind = space().vocabulary.kind_of(int(trunk[0]))
        assert kind is not None
        hidden[kind[0]].append(float((trunk[1:-1] == PAD).mean()))
    assert max(hidden["text"]) == 0
    for modality in ("image", "audio"):
        assert np.mean(hidden[modality]) == pytest.approx(HIDDEN, rel=0.2)

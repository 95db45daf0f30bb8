"""The token cache gives back the symbols it was given, without copying them."""

from itertools import pairwise
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from rankspace.errors import Corrupt, NotFound
from rankspace.media.sample import MODALITIES
from rankspace.store import tokens
from rankspace.store.tokens import TokenCache, TokenPart, TokenSample

CODECS, SNAPSHOT = "c" * 64, "5" * 64

parts = st.builds(
    TokenPart,
    st.sampled_from(MODALITIES),
    st.sampled_from(["", "ru", "word"]),
    arrays(np.int32, st.integers(0, 9), elements=st.integers(0, 2**31 - 1)),
)
rows = st.builds(
    TokenSample,
    st.sampled_from(["a", "b"]),
    st.integers(0, 2**62),
    st.sampled_from(["", "valid"]),
    st.lists(parts, max_size=3).map(tuple),
)


def plain(sample: TokenSample) -> tuple[object, ...]:
    said = [(part.modality, part.role, part.symbols.tolist()) for part in sample.parts]
    return sample.stream, sample.offset, sample.split, said


@given(st.lists(rows, max_size=8), st.integers(1, 4))
def test_what_was_written_is_read(samples: list[TokenSample], batch: int) -> None:
    with TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        patch.setattr(tokens, "_ROWS", batch)
        tokens.write(Path(folder), CODECS, SNAPSHOT, samples)
        cache = TokenCache(Path(folder), CODECS, SNAPSHOT)
        assert [plain(sample) for sample in cache] == [plain(sample) for sample in samples]
        assert [plain(cache[at]) for at in range(len(cache))] == [plain(s) for s in samples]
        cache.close()


def sample(offset: int, *symbols: list[int]) -> TokenSample:
    said = tuple(TokenPart("text", "", np.array(part, np.int32)) for part in symbols)
    return TokenSample("s", offset, "", said)


def test_symbols_are_views_of_the_file(tmp_path: Path) -> None:
    tokens.write(tmp_path, CODECS, SNAPSHOT, [sample(0, [1, 2], [3]), sample(1, [4])])
    cache = TokenCache(tmp_path, CODECS, SNAPSHOT)
    views = [part.symbols for found in cache for part in found.parts]
    assert all(not view.flags.owndata and not view.flags.writeable for view in views)
    for before, after in pairwise(views):
        start = before.__array_interface__["data"][0]
        assert after.__array_interface__["data"][0] == start + before.nbytes


def test_a_cache_is_found_only_under_its_own_hashes(tmp_path: Path) -> None:
    path = tokens.write(tmp_path, CODECS, SNAPSHOT, [sample(0, [1])])
    with pytest.raises(NotFound):
        TokenCache(tmp_path, "d" * 64, SNAPSHOT)
    path.rename(tokens.cache_path(tmp_path, "d" * 64, SNAPSHOT))
    with pytest.raises(Corrupt, match="other codecs"):
        TokenCache(tmp_path, "d" * 64, SNAPSHOT)


def test_a_cut_off_cache_is_corrupt(tmp_path: Path) -> None:
    path = tokens.write(tmp_path, CODECS, SNAPSHOT, [sample(0, [1])])
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(Corrupt):
        TokenCache(tmp_path, CODECS, SNAPSHOT)


def test_a_cache_whose_writing_fails_does_not_appear(tmp_path: Path) -> None:
    def broken() -> list[TokenSample]:
        raise KeyError

    with pytest.raises(KeyError):
        tokens.write(tmp_path, CODECS, SNAPSHOT, (found for found in broken()))
    assert list(tmp_path.iterdir()) == []


def test_an_index_beyond_the_end_is_an_index_error(tmp_path: Path) -> None:
    tokens.write(tmp_path, CODECS, SNAPSHOT, [sample(0, [1])])
    cache = TokenCache(tmp_path, CODECS, SNAPSHOT)
    for index in (-1, 1):
        with pytest.raises(IndexError):
            cache[index]

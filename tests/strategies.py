"""What several tests draw at random: cuttings of a message into pieces, samples of any content."""

from itertools import pairwise

from hypothesis import strategies as st

from rankspace.media.sample import MODALITIES, Frame, Part, Sample


@st.composite
def cuttings(draw: st.DrawFn, length: int, pieces_max: int = 8) -> list[slice]:
    """Slices that cut a message of this length into consecutive pieces, some of them empty."""
    inner = draw(st.lists(st.integers(0, length), max_size=pieces_max - 1))
    edges = [0, *sorted(inner), length]
    return [slice(start, stop) for start, stop in pairwise(edges)]


_time_us = st.integers(-(2**62), 2**62)
_count = st.integers(0, 2**32 - 1)


def _parts() -> st.SearchStrategy[Part]:
    return st.builds(
        Part,
        modality=st.sampled_from(MODALITIES),
        data=st.binary(max_size=40),
        encoding=st.text(max_size=4),
        role=st.text("abcdefghijklmnopqrstuvwxyz0123456789-_", max_size=8),
        rate_hz=_count,
        channels=_count,
        frames=st.lists(st.builds(Frame, _time_us, st.binary(max_size=20)), max_size=3).map(tuple),
        start_us=st.just(0) | _time_us,
    )


def samples() -> st.SearchStrategy[Sample]:
    """Samples whose media are any bytes: what is kept and carried, but never decoded."""
    return st.builds(
        Sample,
        sample_id=st.text(
            st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=8
        ),
        parts=st.lists(_parts(), max_size=4).map(tuple),
        event_time_us=_time_us,
        labels=st.dictionaries(st.text(max_size=4), st.text(max_size=4), max_size=3),
    )

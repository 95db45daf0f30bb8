"""What several tests draw at random: cuttings of a message into pieces."""

from itertools import pairwise

from hypothesis import strategies as st


@st.composite
def cuttings(draw: st.DrawFn, length: int, pieces_max: int = 8) -> list[slice]:
    """Slices that cut a message of this length into consecutive pieces, some of them empty."""
    inner = draw(st.lists(st.integers(0, length), max_size=pieces_max - 1))
    edges = [0, *sorted(inner), length]
    return [slice(start, stop) for start, stop in pairwise(edges)]

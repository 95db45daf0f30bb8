"""The document's memory is a recount of the part so far, and looks at nothing else."""

from collections import Counter
from itertools import pairwise

import torch
from hypothesis import given
from hypothesis import strategies as st

from rankspace.model.document import said
from rankspace.ranks.vocabulary import PAD

IDS = (3, 4, 5, 7)
"""The alphabet; 6 is of another, 1 is a mark."""

SIZE = 8
LOCAL = torch.tensor([0, 0, 0, 0, 1, 2, 0, 3])
INSIDE = torch.tensor([each in IDS for each in range(SIZE)])
PARTS = st.lists(
    st.lists(st.sampled_from((3, 4, 5, 6, 7)), max_size=12), min_size=1, max_size=4
).map(lambda parts: [[1, *part] for part in parts])


@given(PARTS, st.integers(0, 2**32 - 1))
def test_it_is_a_recount_of_the_part_so_far(parts: list[list[int]], seed: int) -> None:
    longest = max(map(len, parts))
    past = torch.tensor([[PAD] * (longest - len(part)) + part for part in parts])
    other = torch.rand(len(parts), len(IDS), generator=torch.Generator().manual_seed(seed))
    other = other.log_softmax(-1)
    pairs, singles, seen = said(past, LOCAL, INSIDE, other)
    torch.testing.assert_close(pairs.exp().sum(-1), torch.ones(len(parts)))
    for at, part in enumerate(parts):
        came = Counter(each for each in part[1:] if each in IDS)
        then = Counter(two for one, two in pairwise(part) if one == part[-1] and two in IDS)
        assert float(seen[at]) == then.total()
        alone = [came[each] / came.total() for each in IDS] if came else other[at].exp().tolist()
        after = [then[each] / then.total() for each in IDS] if then else alone
        torch.testing.assert_close(singles[at].exp(), torch.tensor(alone))
        torch.testing.assert_close(pairs[at].exp(), torch.tensor(after))

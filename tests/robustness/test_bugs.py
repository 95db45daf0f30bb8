"""Every seeded bug is still plantable, and the suite catches those that need no rare moment.

`make robustness` looks for all of them; docs/robustness.md has the table.
"""

from pathlib import Path

import pytest

from tests.robustness.bugs import BUGS, Bug, hunt, plant
from tests.robustness.server import TREE

QUICK = ("duplicate not compared",)


@pytest.mark.parametrize("bug", BUGS, ids=lambda bug: bug.name)
def test_a_bug_can_be_planted(bug: Bug) -> None:
    assert (TREE / bug.file).read_text("utf-8").count(bug.old) == 1, "plant it where its text went"


def test_a_bug_whose_text_is_gone_is_an_error(tmp_path: Path) -> None:
    gone = Bug("gone", "", "rankspace/errors.py", "no such text", "", "")
    with pytest.raises(ValueError, match="0 times"):
        plant(gone, tmp_path)


@pytest.mark.parametrize(
    "bug", [bug for bug in BUGS if bug.name in QUICK], ids=lambda bug: bug.name
)
def test_a_bug_is_caught(bug: Bug, tmp_path: Path) -> None:
    assert hunt(bug, tmp_path / "tree", seconds=20, longest=1.5).violation

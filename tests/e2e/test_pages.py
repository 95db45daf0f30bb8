"""The code in the pages runs against a real server; only its address and the steps differ."""

import re
from pathlib import Path

import pytest

from services.readers import read
from tests.e2e.conftest import Server

ROOT = Path(__file__).parents[2]
BLOCK = re.compile(r"```python\n(.*?)```", re.DOTALL)


def blocks(page: str) -> str:
    """All python of a page: one program."""
    return "\n".join(BLOCK.findall((ROOT / page).read_text("utf-8")))


@pytest.mark.cluster
@pytest.mark.slow
@pytest.mark.timeout(300)
def test_the_example_of_the_readme_runs(
    server: Server,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    photos = tmp_path / "photos"
    photos.mkdir()
    for sample in [*read(ROOT / "services/demo/sample/photos.tar.gz")][:12]:
        picture = next(part for part in sample.parts if part.modality == "image")
        name = sample.sample_id.rpartition("-")[2]
        (photos / f"{name}.{picture.encoding}").write_bytes(picture.data)
        (tmp_path / "unknown.png").write_bytes(picture.data)
    monkeypatch.chdir(tmp_path)
    program = blocks("README.md").replace("127.0.0.1:50051", server.address)
    program = program.replace("steps=100", "steps=4")
    exec(compile(program, "README.md", "exec"), {})  # noqa: S102  # our own page
    said = capsys.readouterr().out
    assert "done" in said


def test_the_manifest_of_the_page_is_read(tmp_path: Path) -> None:
    page = (ROOT / "docs/operations.md").read_text("utf-8")
    (lines,) = re.findall(r"```jsonl\n(.*?)```", page, re.DOTALL)
    (tmp_path / "notes.jsonl").write_text(lines, "utf-8")
    (tmp_path / "cat.jpg").write_bytes(b"a picture")
    one, two = read(tmp_path / "notes.jsonl")
    assert [(part.modality, part.role) for part in one.parts] == [("image", ""), ("text", "ru")]
    assert (one.labels, one.event_time_us > 0) == ({"split": "valid"}, True)
    assert two.parts[0].data.decode() == "дом"

"""The generated code is what the generator makes of the protos, and the protos keep the rules."""

import filecmp
import subprocess
import sysconfig
from pathlib import Path

from protos.generate import PROTOS, generate

ROOT = PROTOS.parent


def test_the_generated_code_is_fresh(tmp_path: Path) -> None:
    generate(tmp_path)
    made = sorted(path.name for path in (tmp_path / "rankspace/v1").iterdir())
    kept = ROOT / "rankspace/v1"
    assert made == sorted(path.name for path in kept.glob("*_pb2*"))
    _, stale, missing = filecmp.cmpfiles(tmp_path / "rankspace/v1", kept, made, shallow=False)
    assert not stale + missing


def test_the_protos_keep_buf_s_standard_and_every_field_has_a_comment() -> None:
    buf = Path(sysconfig.get_path("scripts")) / "buf"
    found = subprocess.run(
        [buf, "lint", "protos"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert found.returncode == 0, found.stdout

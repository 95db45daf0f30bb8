"""The benchmark of looking into media: a short run gives every figure."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent
KEYS = {
    "jpeg_part_us", "jpeg_pack_server_us", "jpeg_strip_part_us", "jpeg_strip_pack_server_us",
    "append_mb_s", "cost_share", "cpu_share",
}  # fmt: skip


@pytest.mark.slow
def test_a_short_run_measures_what_looking_costs() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.sandbox", "--quick"],
        cwd=ROOT, capture_output=True, text=True, check=False, timeout=100,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout.splitlines()[-1])
    assert set(found) == KEYS
    assert max(found["cost_share"], found["cpu_share"]) < 1
    assert min(value for name, value in found.items() if "share" not in name) > 0

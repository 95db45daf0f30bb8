"""A writer killed at any moment leaves a store with all it acknowledged and nothing torn."""

import subprocess
import sys
import time
from pathlib import Path

import pytest

from rankspace.store.config import StoreConfig
from rankspace.store.store import Store

WRITER = """
import sys
from pathlib import Path
from rankspace.media.sample import Part, Sample
from rankspace.store.config import StoreConfig
from rankspace.store.store import Store

store = Store.open(StoreConfig(folder=Path(sys.argv[1]), inline_bytes_max=64))
at = store.log.next_offset("s")
while True:
    batch = [
        Sample(str(n), (Part("text", b"%d" % n), Part("audio", b"%d" % n * 50, "wav")))
        for n in range(at, at + 3)
    ]
    at = store.log.append("s", at, batch).next
    print(at, flush=True)
"""


def killed_after(folder: Path, seconds: float) -> int:
    """Let a writer work for so long and kill it; the offset it was last told."""
    process = subprocess.Popen(
        [sys.executable, "-c", WRITER, str(folder)], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    first = process.stdout.readline()
    time.sleep(seconds)
    process.kill()
    told = [first, *process.stdout.read().splitlines(keepends=True)]
    process.wait()
    process.stdout.close()
    whole = [line for line in told if line.endswith("\n")]
    return int(whole[-1])


@pytest.mark.timeout(60)
def test_what_was_acknowledged_survives_a_kill(tmp_path: Path) -> None:
    config = StoreConfig(folder=tmp_path, orphan_age_s=0.0)
    with Store.open(config) as store:
        store.log.create("s")
    for seconds in (0.02, 0.11, 0.23):
        acknowledged = killed_after(tmp_path, seconds)
        with Store.open(config) as store:
            store.log.sweep()
            found = list(store.log.read("s"))  # checks every hash
            taken = store.log.next_offset("s")
            assert acknowledged <= taken
            assert [offset for offset, _ in found] == list(range(taken))
            assert [sample.sample_id for _, sample in found] == [str(n) for n in range(taken)]
            assert not list(tmp_path.rglob("*.part"))

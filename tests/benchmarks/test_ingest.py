"""The benchmark of appends: its messages are what they say, and a short run gives every figure."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks._ingest_messages import BATCHES, Batch, drawn
from rankspace.media import decode
from rankspace.media.limits import Limits
from rankspace.media.probe import check
from rankspace.v1 import ingestion_pb2 as pb
from rankspace.wire.media import read_sample

ROOT = Path(__file__).parent.parent.parent
KEYS = {
    "echo_mb_s", "append_mb_s", "ratio", "samples_s", "redis_ratio", "postgres_ratio",
    "ack_p50_ms", "ack_p99_ms", "rss_mb", "growth_1e4_1e6",
    "ratio_full_echo", "late_half", "late_full", "busy_half", "busy_full", "disk_mb_s",
}  # fmt: skip


@pytest.mark.parametrize("kind", BATCHES)
def test_messages_carry_their_offset_and_media_that_decode_and_never_come_twice(kind: str) -> None:
    batch = Batch(drawn(kind))
    seen: set[bytes] = set()
    for offset in (0, 7, 1 << 40):
        request = pb.AppendSamplesRequest.FromString(batch.message(offset))
        assert request.batch.offset == offset
        samples = [read_sample(message) for message in request.batch.samples]
        assert len(samples) == batch.samples
        for sample in samples:
            check(sample, Limits())
            decode.media(sample.parts[0], Limits())
        seen |= {sample.parts[0].data for sample in samples}
    assert len(seen) == 3 * batch.samples
    assert sum(map(len, seen)) == 3 * batch.bytes


def test_rows_of_other_stores_hold_the_same_media() -> None:
    batch = Batch(drawn("mix"))
    rows = list(batch.rows())
    assert sum(len(data) for *_, data in rows) == batch.bytes
    assert [modality for _, modality, _ in rows] == [medium.modality for medium in batch.media]


@pytest.mark.slow
def test_a_short_run_measures_an_append_against_the_echo() -> None:
    command = [sys.executable, "-m", "benchmarks.ingest", "--quick", "--kinds", "image"]
    done = subprocess.run(
        [*command, "--contenders", "echo,rankspace"],
        cwd=ROOT, capture_output=True, text=True, check=False, timeout=100,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout.splitlines()[-1])
    assert set(found) == KEYS
    assert found["echo_mb_s"] > found["append_mb_s"] > 0
    assert found["ratio"] == pytest.approx(found["append_mb_s"] / found["echo_mb_s"])
    assert found["ack_p99_ms"] >= found["ack_p50_ms"] > 0
    assert found["rss_mb"] > 10
    assert found["ratio_full_echo"] > 0
    assert all(0 <= found[name] <= 1 for name in found if name[:4] in ("late", "busy"))
    assert found["disk_mb_s"] > 0
    assert found["redis_ratio"] is None
    assert "| 1,000 |" in done.stdout

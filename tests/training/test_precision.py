"""What a step asks of the machine."""

import os
import subprocess
import sys

CODE = """
import resource, torch
from rankspace.training.precision import keep_freed

def faults() -> int:
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(10):
        kept = [torch.ones(size << 18) for size in (3, 5, 40, 7)]  # 55 MiB
        del kept
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

faults()
before, kept = faults(), keep_freed()
faults()
print(before > 50_000, kept, faults() < before / 5)
"""


def test_memory_that_is_kept_is_not_faulted_in_again() -> None:
    plain = {name: value for name, value in os.environ.items() if name != "THP_MEM_ALLOC_ENABLE"}
    told = subprocess.run(
        [sys.executable, "-c", CODE], check=True, capture_output=True, text=True, env=plain
    ).stdout.split()
    assert told in (["True"] * 3, ["True", "False", "False"])  # glibc, and what is not

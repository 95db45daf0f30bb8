"""What a step asks of the machine: sixteen-bit products, and memory that is not given back.

Products of bfloat16, where the processor has them, run at about four times the rate (measured).
glibc gives large blocks back to the system as soon as they are freed, so every step meets its
activations as new pages; told to keep them, a step has no page faults. Large pages, which torch
asks for if its environment says so before its first large tensor, take up to a tenth off a step.
"""

import contextlib
import ctypes
import os
from functools import cache

import torch


@cache
def has_bfloat16() -> bool:
    """Whether products of bfloat16 are native here (AVX512-BF16 or AMX)."""
    return (
        bool(torch.ops.mkldnn._is_mkldnn_bf16_supported()) and torch.cpu._is_avx512_bf16_supported()
    )


def fast() -> contextlib.AbstractContextManager[object]:
    """Run what is inside in bfloat16 where that is native, and in float32 elsewhere."""
    return torch.autocast("cpu", torch.bfloat16, enabled=has_bfloat16())


M_TRIM_THRESHOLD, M_MMAP_MAX = -1, -4
"""Of glibc's malloc.h."""


def keep_freed() -> bool:
    """Keep what is freed for the next step, for the rest of this process; whether it is done.

    Elsewhere than under glibc nothing is kept.
    """
    os.environ.setdefault("THP_MEM_ALLOC_ENABLE", "1")
    library = ctypes.CDLL(None)
    if not hasattr(library, "gnu_get_libc_version"):
        return False
    return bool(library.mallopt(M_MMAP_MAX, 0) and library.mallopt(M_TRIM_THRESHOLD, 2**31 - 1))

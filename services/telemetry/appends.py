"""What became of a batch, told once."""

from collections.abc import Iterable

from rankspace.errors import RankspaceError
from rankspace.store.entries import Appended
from services.telemetry.metrics import BATCHES, BYTES, REFUSALS, REJECTS, SAMPLES


def stored(
    tenant: str, appended: Appended, samples: int, size: int, refusals: Iterable[RankspaceError]
) -> None:
    """So many samples and media bytes are in their stream, perhaps since before."""
    if BATCHES.live is None:
        return
    BATCHES.add(1, tenant, "duplicate" if appended.duplicate else "stored")
    if appended.duplicate:
        return
    SAMPLES.add(samples, tenant)
    BYTES.add(size, tenant)
    for error in refusals:
        REJECTS.add(1, tenant, error.reason())


def refused(tenant: str, error: RankspaceError) -> None:
    """Nothing of a batch was stored."""
    BATCHES.add(1, tenant, "refused")
    REFUSALS.add(1, tenant, error.reason())

"""What became of a batch, told once."""

from collections.abc import Iterable, Sequence

from rankspace.errors import RankspaceError
from rankspace.media.sample import Sample
from rankspace.store.content import media_bytes
from rankspace.store.entries import Appended, Rejected
from services.telemetry.metrics import BATCHES, BYTES, REFUSALS, REJECTS, SAMPLES


def stored(
    tenant: str,
    appended: Appended,
    entries: Sequence[Sample | Rejected],
    refusals: Iterable[RankspaceError],
) -> None:
    """A batch is in its stream, perhaps since before."""
    if BATCHES.live is None:
        return
    BATCHES.add(1, tenant, "duplicate" if appended.duplicate else "stored")
    if appended.duplicate:
        return
    samples = [entry for entry in entries if isinstance(entry, Sample)]
    SAMPLES.add(len(samples), tenant)
    BYTES.add(sum(map(media_bytes, samples)), tenant)
    for error in refusals:
        REJECTS.add(1, tenant, error.reason())


def refused(tenant: str, error: RankspaceError) -> None:
    """Nothing of a batch was stored."""
    BATCHES.add(1, tenant, "refused")
    REFUSALS.add(1, tenant, error.reason())

"""How much the engine of one process does at once."""

from pydantic import Field

from rankspace.config import Config
from services.sandbox.config import SandboxConfig


class EngineConfig(Config):
    """Limits of the engine; beyond them a call waits or is Overloaded."""

    store_threads: int = Field(default=8, gt=0, le=64)
    """Threads that work with the store; further calls wait for one."""

    media_threads: int = Field(default=8, gt=0, le=64)
    """Threads that hash and read large media, and write them where they lie in a bucket, apart
    from those above: a slow bucket holds up nothing else."""

    commit_queue_max: int = Field(default=1024, gt=0)
    """Appends that wait to be committed; further ones wait for room."""

    commit_queue_bytes_max: int = Field(default=128 << 20, gt=0)
    """Media bytes of such appends; a single one may always wait."""

    commit_bytes_max: int = Field(default=16 << 20, gt=0)
    """Media bytes that share one transaction; what is beyond goes into the next."""

    commit_samples_max: int = Field(default=1024, gt=0)
    """Samples that share one transaction; what is beyond goes into the next, which is made ready
    meanwhile. A batch that alone has more goes alone."""

    commit_wait_s: float = Field(default=30.0, gt=0)
    """An append that found no room for so long is Overloaded."""

    upkeep_s: float = Field(default=60.0, gt=0)
    """How often what streams keep no longer is removed."""

    generation_workers: int = Field(default=2, gt=0, le=64)
    """Threads that think: so many sessions hear or speak at the same moment."""

    cores_per_worker: int = Field(default=1, gt=0, le=64)
    """Cores that one of these threads computes on. One symbol of a small model is too little to
    share: two sessions on a core each are faster than either on both."""

    sandbox: SandboxConfig = SandboxConfig()
    """The processes that decode what a model is shown."""

    sessions_max: int = Field(default=32, gt=0, le=4096)
    """Sessions open at once; one more is Overloaded."""

    models_max: int = Field(default=2, gt=0, le=64)
    """Model versions kept in memory; the one unused for longest goes first."""

    jobs_max: int = Field(default=1, gt=0, le=64)
    """Jobs that run at once; the others are queued, the oldest first."""

    lease_s: float = Field(default=15.0, gt=0, le=3600)
    """Of several processes on one store the one that hands out jobs may be silent for so long;
    then another does it. One that has ended on the same machine is replaced at once."""

    poll_s: float = Field(default=0.2, gt=0, le=60)
    """How often the catalogue is asked for news: events to deliver, jobs whose turn has come."""

    read_rows: int = Field(default=16, gt=0, le=1024)
    """Samples that a reader fetches at once."""

"""What a worker does with a job: let the library train, write down what it reports, hear wishes."""

from collections.abc import Callable, Iterator
from functools import partial
from importlib import import_module

from rankspace.errors import RankspaceError, Refused
from rankspace.media.decode import Decode
from rankspace.media.limits import Limits
from rankspace.store.config import StoreConfig
from rankspace.store.entries import ENDED, Wish
from rankspace.store.store import Store
from rankspace.training.job import Event
from services.sandbox.config import SandboxConfig
from services.sandbox.decoding import Sandbox

PROGRAM = "rankspace.training.run:run"
"""What a worker runs, as module:function."""

Program = Callable[[StoreConfig, str, int, int, Callable[[], Wish], Decode], Iterator[Event]]
"""(store, job id, rank, world, wish, how to decode) → events. It stops by itself when the wish is
no longer "run", with an event that says so; all ranks give the same events, and those of rank 0
are kept."""

ONE = SandboxConfig(workers=1, idle_s=10.0)
"""A worker decodes one part after the other, and soon none any more."""


def perform(
    store: StoreConfig, job_id: str, rank: int, world: int, program: str, term: int = 0
) -> None:
    """Run a job to its end, or until somebody wishes otherwise or another server has taken it up.

    What the library refuses ends the job, and so does an error of the program's own. Among several
    workers that may be the echo of another one's death: then the job is left to be tried again.
    """
    module, _, name = program.partition(":")
    run: Program = getattr(import_module(module), name)
    with Store.open(store) as opened, Sandbox(ONE, Limits()) as sandbox:
        jobs = opened.catalogue.jobs
        if jobs.get(job_id).state in ENDED:
            return
        try:
            wish = partial(jobs.wish, job_id, term)
            for event in run(store, job_id, rank, world, wish, sandbox.decode):
                if rank == 0:
                    jobs.append_event(job_id, event.model_dump(mode="json"), term=term)
        except RankspaceError as error:
            fail(opened, job_id, str(error), term)
            if world > 1:
                raise
        except Exception:
            if world == 1:
                message = "training met an error of its own; the log of Ray has it"
                fail(opened, job_id, message, term)
            raise


def fail(store: Store, job_id: str, message: str, term: int = 0) -> None:
    """End a job that has not ended."""
    event = Event(phase="done", state="failed", message=message)
    try:
        store.catalogue.jobs.append_event(job_id, event.model_dump(mode="json"), term=term)
    except Refused:
        return  # it has ended, and why is written down; or another server runs it now

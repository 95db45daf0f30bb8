"""Jobs: what is to be trained, what somebody wishes of it, and what it has reported so far.

State belongs to who runs the job and moves with its events; the wish belongs to who asked. Several
processes use the table at once, so each call is one short transaction.

    queued → running ⇄ paused → succeeded | failed | cancelled        (the last three for good)

One process hands out jobs: who holds the lease `HANDING_OUT`. What it and the workers it started
write and ask carries the term of that lease, and is refused once another process has taken it.
"""

import re
import secrets
from collections.abc import Mapping
from typing import Any

from sqlalchemy import Connection, Row, insert, select, update

from rankspace.errors import AlreadyExists, InvalidInput, NotFound, Refused
from rankspace.store.database import Database, now_us
from rankspace.store.entries import ENDED, Job, JobEvent, JobState, Page, Wish
from rankspace.store.leases import check_term
from rankspace.store.names import owned
from rankspace.store.schema import job_events, jobs

HANDING_OUT = "jobs"
"""The lease of the process that runs jobs."""

_JOB = re.compile(r"job-[0-9a-f]{12}")


class Jobs:
    """All jobs of a store; safe to use from any number of threads and processes."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def create(self, request_id: str, config: Mapping[str, Any]) -> Job:
        """Queue a job. The same request again gives the same job; an empty id is always new."""
        job_id = f"job-{secrets.token_hex(6)}"
        values = {
            "job_id": job_id, "request_id": request_id or job_id, "config": dict(config),
            "state": "queued", "wish": "run", "created_us": now_us(), "updated_us": now_us(),
        }  # fmt: skip
        with self._database.alone() as connection:
            query = select(jobs).where(jobs.c.request_id == request_id)
            row = connection.execute(query).one_or_none()
            if row is None:
                connection.execute(insert(jobs).values(**values))
                row = _row(connection, job_id)
        if row.config != dict(config):
            raise AlreadyExists(
                f"request {request_id} was made before with another config", "request_id"
            )
        return _job(row)

    def get(self, job_id: str) -> Job:
        """A job and its newest event."""
        with self._database.read() as connection:
            return _job(_row(connection, job_id))

    def list(
        self,
        size: int = 100,
        token: str = "",
        state: JobState | None = None,
        tenant: str | None = None,
    ) -> Page[Job]:
        """Jobs, the newest first, `size` at a time; of all tenants, or of one.

        A job is its request's tenant's.
        """
        query = select(jobs).where(owned(jobs.c.request_id, tenant))
        query = query.order_by(jobs.c.id.desc()).limit(size + 1)
        if token:
            # A page ends with a job that its reader knows; a number would tell how many there are.
            where = jobs.c.job_id == token, owned(jobs.c.request_id, tenant)
            query = query.where(jobs.c.id < select(jobs.c.id).where(*where).scalar_subquery())
            if not _JOB.fullmatch(token):
                raise InvalidInput("the page token is not one this service gave", "page_token")
        if state is not None:
            query = query.where(jobs.c.state == state)
        with self._database.read() as connection:
            rows = connection.execute(query).all()
        items = tuple(map(_job, rows[:size]))
        return Page(items, items[-1].job_id if len(rows) > size else "")

    def unfinished(self) -> tuple[Job, ...]:
        """All jobs that have not ended, the oldest first."""
        query = select(jobs).where(jobs.c.state.not_in(ENDED)).order_by(jobs.c.id)
        with self._database.read() as connection:
            return tuple(map(_job, connection.execute(query)))

    def set_wish(self, job_id: str, wish: Wish) -> Job:
        """Ask a job to run, pause or be cancelled; who runs it will see it soon."""
        with self._database.write() as connection:
            row = _row(connection, job_id, lock=True)
            wanted = "cancelled" if wish == "cancel" else ""
            if row.state in ENDED and row.state != wanted:
                raise Refused(f"job {job_id} has {row.state}; start another one")
            query = update(jobs).where(jobs.c.job_id == job_id)
            connection.execute(query.values(wish=wish, updated_us=now_us()))
            return _job(_row(connection, job_id))

    def wish(self, job_id: str, term: int = 0) -> Wish:
        """What somebody wishes of a job. Raises Fenced if the term is over."""
        with self._database.read() as connection:
            check_term(connection, HANDING_OUT, term)
            wished: Wish = _row(connection, job_id).wish
        return wished

    def append_event(
        self, job_id: str, body: Mapping[str, Any], after: int | None = None, term: int = 0
    ) -> int:
        """Write an event down and return its revision; its "state" becomes the job's.

        With `after` it is written only if that is still the job's newest revision; 0: it was not.
        Raises Fenced if the term is over.
        """
        with self._database.write() as connection:
            row = _row(connection, job_id, lock=True)
            check_term(connection, HANDING_OUT, term)
            if after is not None and row.revision != after:
                return 0
            if row.state in ENDED:
                raise Refused(f"job {job_id} has {row.state} and takes no more events")
            revision = row.revision + 1
            event = {"created_us": now_us(), "body": dict(body)}
            connection.execute(insert(job_events).values(job_id=job_id, revision=revision, **event))
            changed = {"state": body.get("state", row.state), "updated_us": event["created_us"]}
            query = update(jobs).where(jobs.c.job_id == job_id)
            connection.execute(query.values(revision=revision, last_event=dict(body), **changed))
        return revision

    def events(
        self, job_id: str, after_revision: int = 0, limit: int = 1000
    ) -> tuple[JobEvent, ...]:
        """Events newer than a revision, the oldest first."""
        where = job_events.c.job_id == job_id, job_events.c.revision > after_revision
        query = select(job_events).where(*where).order_by(job_events.c.revision).limit(limit)
        with self._database.read() as connection:
            _row(connection, job_id)
            return tuple(JobEvent(**row._mapping) for row in connection.execute(query))


def _row(connection: Connection, job_id: str, lock: bool = False) -> Row[Any]:
    query = select(jobs).where(jobs.c.job_id == job_id)
    row = connection.execute(query.with_for_update() if lock else query).one_or_none()
    if row is None:
        raise NotFound(f"there is no job {job_id}", "job_id")
    return row


def _job(row: Row[Any]) -> Job:
    return Job(**{key: value for key, value in row._mapping.items() if key != "id"})

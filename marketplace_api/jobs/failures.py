"""What is kept of an attempt that failed: enough to mend the cause, nothing about anybody.

The text of an error often quotes what it was about: an address, a name, a row. So its class is told, and where in our
code it arose; the sentence only of those errors whose sentences are ours and name things, not people.
"""

from __future__ import annotations

import traceback
from dataclasses import dataclass
from pathlib import Path

import psycopg
import sqlalchemy as sa
from procrastinate.connector import BaseConnector
from procrastinate.jobs import Job
from sqlalchemy.exc import DBAPIError, OperationalError, TimeoutError

from marketplace_api.errors import DomainError, Unavailable
from marketplace_api.models.kernel.jobs import LONGEST_TOLD

_QUOTED = "What it was about stands in the worker's log."
_PACKAGE = Path(__file__).resolve().parents[1]
_KEEP = (
    "INSERT INTO job_errors (job_id, attempt, error, message, place) "
    "VALUES (%(job_id)s, %(attempt)s, %(error)s, %(message)s, %(place)s) ON CONFLICT (job_id, attempt) DO UPDATE SET "
    "error = excluded.error, message = excluded.message, place = excluded.place, date_failed = now()"
)


@dataclass(frozen=True, slots=True)
class Failure:
    """Class of the error; its sentence, or what the database said was broken; and where in our code it arose."""

    error: str
    message: str | None = None
    place: str | None = None


WORKER_DIED = Failure("WorkerDied", "The workers that had it in hand ended without a word, again and again.")


class UnknownTask(Exception):
    """Nothing here does what a job asks for. The message is a sentence that names what it asks for."""

    def __init__(self, name: str) -> None:
        super().__init__(f"This release knows no task {name!r}; a worker of the one that made the job does.")


def is_temporary(error: BaseException) -> bool:
    """Whether the same job can succeed later without anybody mending anything in it."""
    if isinstance(error, DBAPIError) and error.connection_invalidated:
        return True
    return isinstance(error, Unavailable | OperationalError | TimeoutError | psycopg.OperationalError)


def describe(error: BaseException) -> Failure:
    """Without a word about anybody."""
    cause = error.orig if isinstance(error, sa.exc.DBAPIError) and error.orig is not None else error
    message = None
    if isinstance(cause, psycopg.Error):
        what = filter(None, (cause.sqlstate, cause.diag.table_name, cause.diag.constraint_name))
        message = f"The database refused it ({', '.join(what)}). {_QUOTED}"
    elif isinstance(cause, Unavailable):
        message = cause.detail
    elif isinstance(cause, UnknownTask):
        message = str(cause)
    elif isinstance(cause, DomainError):
        message = f"Our own rules refused it ({cause.code}). {_QUOTED}"
    elif isinstance(cause, LookupError):
        message = f"The code looked something up that was not there. {_QUOTED}"
    else:
        message = f"A mistake in the code, or in what it met. {_QUOTED}"
    return Failure(type(cause).__name__[:LONGEST_TOLD], (message or "")[:LONGEST_TOLD] or None, _place(error))


async def store(connector: BaseConnector, job: Job, failure: Failure) -> None:
    """Note how the present attempt at ``job`` failed; raises what the connector raises."""
    await connector.execute_query_async(
        _KEEP,
        job_id=job.id,
        attempt=job.attempts + 1,
        error=failure.error,
        message=failure.message,
        place=failure.place,
    )


def _place(error: BaseException) -> str | None:
    """File, line and function of the innermost frame of our own code."""
    all_frames = traceback.extract_tb(error.__traceback__)
    frames = [frame for frame in all_frames if Path(frame.filename).is_relative_to(_PACKAGE)]
    if not frames:
        return None
    frame = frames[-1]
    return f"{Path(frame.filename).relative_to(_PACKAGE)}:{frame.lineno} {frame.name}"[:LONGEST_TOLD]

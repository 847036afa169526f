"""How an event becomes jobs: rows in the same transaction as the event, so they exist exactly if it commits.

``handlers.py`` says which jobs; ``worker.py`` runs them.
"""

from __future__ import annotations

import sqlalchemy as sa
from procrastinate.exceptions import AlreadyEnqueued
from sqlalchemy.orm import Session

from marketplace_api.jobs.handlers import DEBOUNCED, HANDLERS, QUEUES, Handler
from marketplace_api.jobs.outbox import Queue, defer
from marketplace_api.models.events import Event

HANDLE_EVENT = "handle_event"
# Changes within this time share one debounced job.
DEBOUNCE_SECONDS = 1

# False as well while another transaction is about to add the same job: to wait for it would chain all writers.
_MAY_ADD = sa.text(
    "SELECT pg_try_advisory_xact_lock(hashtextextended(:name, 0)) AND NOT EXISTS ("
    "SELECT FROM procrastinate_jobs WHERE queueing_lock = :name AND status = 'todo')"
)


def dispatch(session: Session, event: Event) -> None:
    """Enqueue what follows from ``event``, in the session's own transaction; the hook for ``Databases.on_event``.

    The event was flushed through the session, so a session joined to a transaction manager already counts as
    changed and will commit.
    """
    for handler in HANDLERS.get(event.type, ()):
        if handler in DEBOUNCED:
            _defer_debounced(session, event, handler)
        else:
            _defer(session, event, handler)


def _defer(session: Session, event: Event, handler: Handler, lock: str | None = None, seconds: int = 0) -> None:
    arguments: dict[str, int | str] = {"event_id": event.event_id, "handler": handler.__name__}
    queue = QUEUES.get(handler, Queue.DEFAULT)
    defer(session, HANDLE_EVENT, arguments, queue=queue, seconds=seconds, lock=lock, queueing_lock=lock)


def _defer_debounced(session: Session, event: Event, handler: Handler) -> None:
    """One waiting job stands for all: a debounced handler looks at no particular event."""
    lock = handler.__name__
    if not session.execute(_MAY_ADD, {"name": lock}).scalar_one():
        return
    try:
        with session.begin_nested():
            _defer(session, event, handler, lock, DEBOUNCE_SECONDS)
    except AlreadyEnqueued:
        # Another transaction committed the same job between our question and our insert.
        return

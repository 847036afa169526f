"""How an event becomes jobs: rows in the same transaction as the event, so they exist exactly if it commits.

``handlers.py`` says which jobs; ``worker.py`` runs them.
"""

from __future__ import annotations

from sqlalchemy.orm import Session

from marketplace_api.jobs.enqueue import Queue, defer, defer_once
from marketplace_api.jobs.handlers import DEBOUNCED, HANDLERS, QUEUES
from marketplace_api.models.kernel.events import Event

HANDLE_EVENT = "handle_event"
# Changes within this time share one debounced job.
DEBOUNCE_SECONDS = 1


def dispatch(session: Session, event: Event) -> None:
    """Enqueue what follows from ``event``, in the session's own transaction; the hook for ``Databases.on_event``.

    The event was flushed through the session, so a session joined to a transaction manager already counts as
    changed and will commit.
    """
    for handler in HANDLERS.get(event.type, ()):
        arguments: dict[str, int | str] = {"event_id": event.event_id, "handler": handler.__name__}
        queue = QUEUES.get(handler, Queue.DEFAULT)
        if handler in DEBOUNCED:
            # It looks at no particular event.
            name = handler.__name__
            defer_once(session, HANDLE_EVENT, arguments, name=name, queue=queue, seconds=DEBOUNCE_SECONDS, lock=name)
        else:
            defer(session, HANDLE_EVENT, arguments, queue=queue)

"""The months in which the event log lies: made ahead, and dropped when the log need not reach back that far.

The database does both by functions of its own, which act as their owner and keep a year at least.
"""

from __future__ import annotations

import sqlalchemy as sa
from sqlalchemy.orm import Session

from marketplace_api.domain.kernel.actors import Actor
from marketplace_api.domain.kernel.events import EventType, record

_MAKE = sa.text("SELECT make_event_months()")
_DROP = sa.text("SELECT month, events, last_id FROM drop_event_month(:keep)")


def create(session: Session) -> int:
    """Make this month and the next two, as far as they are missing; returns how many were."""
    made: int = session.execute(_MAKE).scalar_one()
    return made


def drop_oldest(session: Session, actor: Actor, keep: int) -> str | None:
    """Drop the oldest month that is over for more than ``keep`` months, and record that; returns it as ``2024-02``,
    ``None`` if there is none. The caller commits: one month at a time, for nobody can read the log meanwhile."""
    row = session.execute(_DROP, {"keep": keep}).first()
    if row is None:
        return None
    new = {"month": row.month, "events": row.events, "last_id": row.last_id}
    record(session, actor, EventType.EVENT_MONTH_DROPPED, None, new=new)
    return str(row.month)

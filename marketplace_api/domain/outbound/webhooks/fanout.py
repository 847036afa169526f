"""From the event log to deliveries: each event once for each endpoint that chose its type, whatever dies in between.

Deliveries are made in the transaction that moves the position, whose row is locked meanwhile: so nothing is left out,
nothing is made twice, and of any number of workers one at a time does it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session

from marketplace_api.database.base import table_of
from marketplace_api.domain.eventlog import feed
from marketplace_api.domain.eventlog.event_patterns import matches, types_of
from marketplace_api.models.outbound.webhooks import WebhookDelivery, WebhookEndpoint, WebhookPosition

BATCH = 500
"""Events passed on in one transaction."""

_e, _d, _p = table_of(WebhookEndpoint), table_of(WebhookDelivery), table_of(WebhookPosition)
_POSITION = sa.select(_p.c.event_id).with_for_update(skip_locked=True)
# Held until the commit, for an endpoint that is deleted meanwhile can have no deliveries.
_LISTENING = (
    sa.select(_e.c.endpoint_id, _e.c.event_types, _e.c.since_event_id)
    .where(_e.c.status == "enabled")
    .order_by(_e.c.endpoint_id)
    .with_for_update(key_share=True, read=True)
)
_ADD = sa.text(
    "INSERT INTO webhook_deliveries (endpoint_id, event_id, type) "
    "SELECT * FROM unnest(CAST(:endpoints AS bigint[]), CAST(:events AS bigint[]), CAST(:types AS text[])) "
    "ON CONFLICT (endpoint_id, event_id) WHERE kind = 'automatic' DO NOTHING"
)
_DUE = sa.select(_e.c.endpoint_id).where(
    _e.c.status == "enabled",
    sa.exists(
        sa.select(sa.literal_column("1")).where(
            _d.c.endpoint_id == _e.c.endpoint_id, _d.c.status == "waiting", _d.c.next_attempt_at <= sa.func.now()
        )
    ),
)


def fan_out(session: Session) -> bool | None:
    """Make the deliveries of the next events; the caller commits, and does nothing else in this transaction.

    Returns whether there may be more at once, and ``None`` where there is nothing to do here: no endpoint listens, or
    another worker is at it.
    """
    position = session.execute(_POSITION).scalar() if _has_receivers(session) else None
    if position is None:
        return None
    # Behind the lock: who makes or enables an endpoint holds it, and what they saw of the log is not passed by then.
    listening = session.execute(_LISTENING).all()
    if not listening:
        return None
    # What was recorded before the first of them listened is told to nobody.
    start = max(position, min(endpoint.since_event_id for endpoint in listening))
    high = feed.horizon(session)
    types = types_of([endpoint.event_types for endpoint in listening])
    rows = feed.between(session, start, high, BATCH, types) if high > start else []
    _add(session, listening, rows)
    reached = rows[-1].event_id if len(rows) == BATCH else max(start, high)
    if reached > position:
        session.execute(sa.update(_p).values(event_id=reached))
    return len(rows) == BATCH


def due(session: Session) -> Sequence[int]:
    """The enabled endpoints that have something to be sent now."""
    found: Sequence[int] = session.execute(_DUE).scalars().all()
    return found


def _has_receivers(session: Session) -> bool:
    """Asked without a lock: where nobody does, nothing is written, not even that a row is locked."""
    statement = sa.select(sa.exists(sa.select(sa.literal_column("1")).where(_e.c.status == "enabled")))
    return bool(session.execute(statement).scalar_one())


def _add(session: Session, listening: Sequence[Any], rows: Sequence[Any]) -> None:
    pairs = [
        (endpoint.endpoint_id, row)
        for row in rows
        for endpoint in listening
        if row.event_id > endpoint.since_event_id and matches(endpoint.event_types, row.type)
    ]
    if pairs:
        values = {
            "endpoints": [endpoint_id for endpoint_id, _ in pairs],
            "events": [row.event_id for _, row in pairs],
            "types": [row.type for _, row in pairs],
        }
        session.execute(_ADD, values)

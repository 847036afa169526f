"""Deliveries as an operator sees them: what was sent and what was not, trying again what failed, forgetting what is old."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session

from marketplace_api.database.base import table_of
from marketplace_api.errors import Conflict, NotFound
from marketplace_api.models.outbound.deliveries import Delivery

BATCH = 500
PURGE_BATCH = 5_000
RETRIED = "due"

_d = table_of(Delivery).c
# What waits for quiet hours or a digest has no error.
_PUT_OFF = (_d.status == "due", _d.error.is_not(None), _d.due_at > sa.func.now())
_COLUMNS = [column for column in _d if column.name not in ("data", "group_key")]


@dataclass(frozen=True, slots=True)
class Criteria:
    """Which deliveries: all of these at once."""

    status: str | None = None
    channel: str | None = None
    user_id: int | None = None
    reference: str | None = None


def list_page(session: Session, chosen: Criteria, limit: int) -> list[dict[str, Any]]:
    """The newest of these deliveries, by the names of their columns; no words of theirs."""
    asked = {
        _d.status: chosen.status,
        _d.channel: chosen.channel,
        _d.user_id: chosen.user_id,
        _d.provider_reference: chosen.reference,
    }
    conditions = [column == value for column, value in asked.items() if value is not None]
    statement = sa.select(*_COLUMNS).where(*conditions).order_by(_d.delivery_id.desc()).limit(limit)
    return [dict(row) for row in session.execute(statement).mappings()]


def find(session: Session, delivery_id: int) -> dict[str, Any]:
    """One delivery. Raises ``NotFound``."""
    row = session.execute(sa.select(*_COLUMNS).where(_d.delivery_id == delivery_id)).mappings().one_or_none()
    if row is None:
        raise _absent(delivery_id)
    return dict(row)


def failed_after(session: Session, delivery_id: int, channel: str | None = None) -> Sequence[int]:
    """The ids of failed deliveries above this one, the lowest first, at most :data:`BATCH`."""
    return _ids_after(session, delivery_id, channel, _d.status == "failed")


def waiting_after(session: Session, delivery_id: int, channel: str | None = None) -> Sequence[int]:
    """As :func:`failed_after`, of deliveries that failed and wait for the time of their next attempt."""
    return _ids_after(session, delivery_id, channel, *_PUT_OFF)


def _ids_after(
    session: Session, delivery_id: int, channel: str | None, *conditions: sa.ColumnElement[bool]
) -> Sequence[int]:
    chosen = sa.select(_d.delivery_id).where(*conditions, _d.delivery_id > delivery_id)
    if channel is not None:
        chosen = chosen.where(_d.channel == channel)
    return session.execute(chosen.order_by(_d.delivery_id).limit(BATCH)).scalars().all()


def retry(session: Session, delivery_id: int) -> None:
    """Have a delivery sent now that failed, as if for the first time, or that waits for its next attempt, which that is.

    Raises ``NotFound``, and ``Conflict`` for others.
    """
    held = sa.select(_d.status, sa.and_(*_PUT_OFF).label("is_put_off")).where(_d.delivery_id == delivery_id)
    row = session.execute(held.with_for_update()).one_or_none()
    if row is None:
        raise _absent(delivery_id)
    if row.status != "failed" and not row.is_put_off:
        raise Conflict(f"Delivery {delivery_id} is {row.status}; only what failed or was put off can be tried again.")
    anew = {} if row.is_put_off else {"status": RETRIED, "attempts": 0, "error": None, "date_done": None}
    again = sa.update(Delivery).where(_d.delivery_id == delivery_id)
    session.execute(again.values(due_at=sa.func.now(), **anew), execution_options={"synchronize_session": False})


def purge(session: Session, before: datetime) -> int:
    """Delete some of the deliveries that were over before a time (aware); returns how many, 0 when none is left."""
    old = sa.select(_d.delivery_id).where(_d.status != "due", _d.date_done < before).limit(PURGE_BATCH)
    doomed = sa.delete(Delivery).where(_d.delivery_id.in_(old.scalar_subquery())).returning(_d.delivery_id)
    return len(session.execute(doomed, execution_options={"synchronize_session": False}).all())


def _absent(delivery_id: int) -> NotFound:
    return NotFound(f"There is no delivery {delivery_id}; old ones are deleted.")

"""Deliveries as an operator sees them: what was sent and what was not, trying again what failed, forgetting what is old."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session

from marketplace_api.db import table_of
from marketplace_api.errors import Conflict, NotFound
from marketplace_api.models.deliveries import Delivery

BATCH = 500
PURGE_BATCH = 5_000
RETRIED = "due"

_d = table_of(Delivery).c
_COLUMNS = [column for column in _d if column.name not in ("data", "group_key")]


@dataclass(frozen=True, slots=True)
class Chosen:
    """Which deliveries: all of these at once."""

    status: str | None = None
    channel: str | None = None
    user_id: int | None = None
    reference: str | None = None


def listed(session: Session, chosen: Chosen, limit: int) -> list[dict[str, Any]]:
    """The newest of these deliveries, by the names of their columns; no words of theirs."""
    asked = {
        _d.status: chosen.status, _d.channel: chosen.channel, _d.user_id: chosen.user_id,
        _d.provider_reference: chosen.reference,
    }  # fmt: skip
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
    failed = sa.select(_d.delivery_id).where(_d.status == "failed", _d.delivery_id > delivery_id)
    if channel is not None:
        failed = failed.where(_d.channel == channel)
    return session.execute(failed.order_by(_d.delivery_id).limit(BATCH)).scalars().all()


def retry(session: Session, delivery_id: int) -> None:
    """Have a failed delivery sent again, as if for the first time. Raises ``NotFound``, and ``Conflict`` in another status."""
    held = sa.select(_d.status).where(_d.delivery_id == delivery_id).with_for_update()
    status = session.execute(held).scalar()
    if status is None:
        raise _absent(delivery_id)
    if status != "failed":
        raise Conflict(f"Delivery {delivery_id} is {status}; only failed ones can be tried again.")
    again = sa.update(Delivery).where(_d.delivery_id == delivery_id)
    session.execute(
        again.values(status=RETRIED, due_at=sa.func.now(), attempts=0, error=None, date_done=None),
        execution_options={"synchronize_session": False},
    )


def purge(session: Session, before: datetime) -> int:
    """Delete some of the deliveries that were over before a time (aware); returns how many, 0 when none is left."""
    old = sa.select(_d.delivery_id).where(_d.status != "due", _d.date_done < before).limit(PURGE_BATCH)
    doomed = sa.delete(Delivery).where(_d.delivery_id.in_(old.scalar_subquery())).returning(_d.delivery_id)
    return len(session.execute(doomed, execution_options={"synchronize_session": False}).all())


def _absent(delivery_id: int) -> NotFound:
    return NotFound(f"There is no delivery {delivery_id}; old ones are deleted.")

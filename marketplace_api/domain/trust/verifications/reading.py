"""Verifications in one state, oldest first: the moderators' queue, and for operators also by age; one with its past."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from functools import lru_cache
from typing import Any

import sqlalchemy as sa

from marketplace_api.database.base import table_of
from marketplace_api.database.prepared import Reader
from marketplace_api.domain.kernel.paging import (
    TOTAL_CAP,
    Page,
    PageRequest,
    assemble,
    decode_cursor,
    fingerprint,
    offset_of,
)
from marketplace_api.domain.trust.verifications import queries
from marketplace_api.models.identity.accounts import User
from marketplace_api.models.kernel.events import Event
from marketplace_api.models.trust.verifications import Verification

EVENTS_SHOWN = 50

_v, _u, _e = table_of(Verification).c, table_of(User).c, table_of(Event).c
_STATUS = sa.bindparam("wanted", type_=sa.String)
_COUNT = sa.select(sa.func.count()).select_from(
    sa.select(sa.literal_column("1")).where(_v.status == _STATUS).limit(TOTAL_CAP + 1).subquery()
)


def waiting(db: Reader) -> int:
    """How many verifications wait for a decision, counted to one beyond ``TOTAL_CAP``."""
    return int(db.execute(_COUNT, {"wanted": "pending"}).scalar_one())


def list_page(db: Reader, status: str, page: PageRequest) -> Page:
    """The verifications with this ``status``, in the order that they were sent in, as rows of ``queries.COLUMNS``.

    Raises ``Invalid``: ``invalid_cursor``, ``page_too_deep``.
    """
    list_hash = fingerprint("verifications", status)
    position = decode_cursor(page.cursor, list_hash, (int,)) if page.cursor else None
    values = {"wanted": status, "count": page.limit + 1, "offset": 0 if position else offset_of(page)}
    if position:
        values["key"] = position.keys[0]
    found = db.execute(_statement(position is not None, position is not None and position.backward), values).all()
    total = db.execute(_COUNT, {"wanted": status}).scalar_one()
    return assemble(found, page, position, list_hash, lambda row: (row.verification_id,), total=total)


@lru_cache(maxsize=4)
def _statement(keyed: bool, backward: bool) -> sa.Select[Any]:
    statement = sa.select(*queries.COLUMNS).select_from(queries.SOURCE).where(_v.status == _STATUS)
    if keyed:
        key = sa.bindparam("key", type_=sa.BigInteger)
        statement = statement.where(_v.verification_id < key if backward else _v.verification_id > key)
    number = sa.Integer()
    return (
        statement.order_by(_v.verification_id.desc() if backward else _v.verification_id.asc())
        .limit(sa.bindparam("count", type_=number))
        .offset(sa.bindparam("offset", type_=number))
    )


def list_for_operators(
    db: Reader, *, status: str | None = "pending", before: datetime | None = None, limit: int = 50, after: int = 0
) -> Sequence[Any]:
    """Verifications by id, which is the order that they were sent in, from after ``after`` on, at most ``limit``.

    ``before`` (aware) is the latest time of sending; without a ``status`` it is all of them. Rows of ``queries.COLUMNS``.
    """
    statement = sa.select(*queries.COLUMNS).select_from(queries.SOURCE).where(_v.verification_id > after)
    if status is not None:
        statement = statement.where(_v.status == status)
    if before is not None:
        statement = statement.where(_v.date_submitted <= before)
    found: Sequence[Any] = db.execute(statement.order_by(_v.verification_id).limit(limit)).all()
    return found


def history(db: Reader, verification_id: int) -> Sequence[Any]:
    """What happened to it, the newest first: ``type``, ``actor`` (an account's name now, or an operator's), ``reason``,
    ``date_created`` and ``request_id`` of up to :data:`EVENTS_SHOWN` events."""
    statement = (
        sa.select(
            _e.date_created,
            _e.type,
            sa.func.coalesce(_u.username, _e.actor_name).label("actor"),
            _e.reason,
            _e.request_id,
        )
        .select_from(table_of(Event).outerjoin(table_of(User), _u.user_id == _e.actor_id))
        .where(_e.subject_type == "verification", _e.subject_id == verification_id)
        .order_by(_e.event_id.desc())
        .limit(EVENTS_SHOWN)
    )
    found: Sequence[Any] = db.execute(statement).all()
    return found

"""Finding and listing the browsers that take an account's notifications: those whose session lasts."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from functools import lru_cache
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session

from marketplace_api.database.base import table_of
from marketplace_api.database.prepared import Prepared, Reader
from marketplace_api.domain.kernel.paging import Page, PageRequest, assemble, decode_cursor, fingerprint, offset_of
from marketplace_api.models.identity.accounts import AccountSession
from marketplace_api.models.outbound.push_subscriptions import MOST_SUBSCRIPTIONS, PushSubscription

_p, _s = table_of(PushSubscription).c, table_of(AccountSession).c

COLUMNS = (_p.subscription_id, _p.user_id, _p.session_id, _p.endpoint, _p.device, _p.date_created, _p.last_used)
"""What the representation is made from."""

# With its session a subscription ends at once, whoever ended that and however.
_SOURCE = table_of(PushSubscription).join(table_of(AccountSession), _s.session_id == _p.session_id)
LIVE = sa.and_(_s.ended_at.is_(None), _s.expires_at > sa.func.now())
_MINE = sa.and_(_p.user_id == sa.bindparam("user_id", type_=sa.BigInteger), LIVE)

_FIND = Prepared(
    sa.select(*COLUMNS)
    .select_from(_SOURCE)
    .where(_MINE, _p.subscription_id == sa.bindparam("subscription_id", type_=sa.BigInteger))
)
_COUNT = Prepared(sa.select(sa.func.count()).select_from(_SOURCE).where(_MINE))


def find(db: Reader, user_id: int, subscription_id: int) -> Any | None:
    """One browser of an account with :data:`COLUMNS`, or ``None``."""
    return _FIND.first(db, {"user_id": user_id, "subscription_id": subscription_id})


def count(db: Reader, user_id: int) -> int:
    """How many browsers take an account's notifications; there are few."""
    return int(_COUNT.scalar(db, {"user_id": user_id}))


def list_page(db: Reader, user_id: int, page: PageRequest) -> Page:
    """The browsers of an account, the latest first, as rows of :data:`COLUMNS`.

    Raises ``Invalid``: ``invalid_cursor``, ``page_too_deep``.
    """
    list_hash = fingerprint("push-subscriptions", user_id)
    position = decode_cursor(page.cursor, list_hash, (int,)) if page.cursor else None
    values = {"user_id": user_id, "count": page.limit + 1, "offset": 0 if position else offset_of(page)}
    if position:
        values["key"] = position.keys[0]
    found = _page(position is not None, position is not None and position.backward).all(db, values)
    total = count(db, user_id)
    return assemble(found, page, position, list_hash, lambda row: (row.subscription_id,), total=total)


def targets(session: Session, user_id: int) -> Sequence[Any]:
    """Where the notifications of an account go now; ``is_paused`` tells those whose push service asked to wait."""
    paused = sa.func.coalesce(_p.paused_until > sa.func.now(), sa.false()).label("is_paused")
    statement = (
        sa.select(_p.subscription_id, _p.endpoint, _p.p256dh, _p.auth, paused)
        .select_from(_SOURCE)
        .where(_p.user_id == user_id, LIVE)
        .order_by(_p.subscription_id.desc())
        .limit(MOST_SUBSCRIPTIONS)
    )
    return session.execute(statement).all()


def note_sent(session: Session, subscription_id: int) -> None:
    """Its push service took something."""
    _change(session, subscription_id, last_used=sa.func.now(), paused_until=None)


def pause(session: Session, subscription_id: int, until: datetime) -> None:
    """Send it nothing before ``until`` (aware)."""
    _change(session, subscription_id, paused_until=until)


def _change(session: Session, subscription_id: int, **values: Any) -> None:
    statement = sa.update(PushSubscription).where(_p.subscription_id == subscription_id).values(**values)
    session.execute(statement, execution_options={"synchronize_session": False})


@lru_cache(maxsize=4)
def _page(keyed: bool, backward: bool) -> Prepared:
    key = sa.bindparam("key", type_=sa.BigInteger)
    statement = sa.select(*COLUMNS).select_from(_SOURCE).where(_MINE)
    if keyed:
        statement = statement.where(_p.subscription_id > key if backward else _p.subscription_id < key)
    order = _p.subscription_id.asc() if backward else _p.subscription_id.desc()
    count_, offset = sa.bindparam("count", type_=sa.Integer), sa.bindparam("offset", type_=sa.Integer)
    return Prepared(statement.order_by(order).limit(count_).offset(offset))

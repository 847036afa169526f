"""What an administrator has to know of one account before acting on it, and what an erasure of it would take."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa

from marketplace_api.database.base import table_of
from marketplace_api.database.prepared import Reader
from marketplace_api.domain.kernel.events import EventType
from marketplace_api.domain.trust.verifications import queries as verifications
from marketplace_api.models.catalog.bookmarks import Bookmark
from marketplace_api.models.catalog.listings import Listing
from marketplace_api.models.community.conversations import Block
from marketplace_api.models.identity.accounts import AccountSession
from marketplace_api.models.kernel.events import Event
from marketplace_api.models.outbound.notifications import Notification
from marketplace_api.models.trust.reports import Report
from marketplace_api.models.trust.verifications import Verification

SESSIONS_SHOWN = 5
DEEDS_SHOWN = 10
DEEDS = (
    EventType.USER_SUSPENDED,
    EventType.USER_REINSTATED,
    EventType.USER_BANNED,
    EventType.USER_ROLES_CHANGED,
    EventType.USER_DEACTIVATED,
    EventType.USER_REACTIVATED,
    EventType.USER_ERASED,
)
"""What was done to accounts as a whole, by moderators or by their owners."""

_l, _s, _r = table_of(Listing).c, table_of(AccountSession).c, table_of(Report).c
_e = table_of(Event).c
_USER = sa.bindparam("user_id", type_=sa.BigInteger)

_STATUS = sa.case((_l.deleted_at.is_not(None), "deleted"), else_=_l.status).label("status")
_LISTINGS = sa.select(_STATUS, sa.func.count().label("count")).where(_l.user_id == _USER).group_by(_STATUS)
_OPEN_REPORTS = sa.select(sa.func.count()).where(_r.reported_id == _USER, _r.date_decided.is_(None))
_SESSIONS = (
    sa.select(
        _s.session_id, _s.device, _s.address, _s.date_created, _s.last_used, _s.expires_at, _s.ended_at, _s.end_reason
    )
    .where(_s.user_id == _USER)
    .order_by(_s.last_used.desc(), _s.session_id.desc())
    .limit(SESSIONS_SHOWN)
)

_DEEDS = (
    sa.select(_e.event_id, _e.date_created, _e.type, _e.actor_id, _e.actor_name, _e.previous, _e.new, _e.reason)
    .where(_e.subject_type == "user", _e.subject_id == _USER, _e.type.in_([deed.value for deed in DEEDS]))
    .order_by(_e.event_id.desc())
    .limit(DEEDS_SHOWN)
)

_GOES: dict[str, sa.Select[Any]] = {
    "listings": sa.select(sa.func.count()).where(_l.user_id == _USER, _l.deleted_at.is_(None)),
    **{
        name: sa.select(sa.func.count()).where(table_of(model).c.user_id == _USER)
        for name, model in (
            ("verifications", Verification),
            ("bookmarks", Bookmark),
            ("blocks", Block),
            ("notifications", Notification),
        )
    },
    "sessions": sa.select(sa.func.count()).where(
        _s.user_id == _USER, _s.ended_at.is_(None), _s.expires_at > sa.func.now()
    ),
}


def listing_counts(db: Reader, user_id: int) -> dict[str, int]:
    """How many listings the account has in each status; those that were deleted count as ``deleted``."""
    return {row.status: row.count for row in db.execute(_LISTINGS, {"user_id": user_id})}


def open_reports(db: Reader, user_id: int) -> int:
    """How many reports about the account, or what is its, wait for a decision."""
    return int(db.execute(_OPEN_REPORTS, {"user_id": user_id}).scalar_one())


def last_sessions(db: Reader, user_id: int) -> Sequence[Any]:
    """The sessions that were used last, over or not."""
    found: Sequence[Any] = db.execute(_SESSIONS, {"user_id": user_id}).all()
    return found


def last_deeds(db: Reader, user_id: int) -> Sequence[Any]:
    """The last events of :data:`DEEDS` about the account, the newest first."""
    found: Sequence[Any] = db.execute(_DEEDS, {"user_id": user_id}).all()
    return found


def verification(db: Reader, user_id: int) -> Any | None:
    """The row of the account's newest verification (``verifications.queries.COLUMNS``), ``None`` without any."""
    return verifications.latest(db, user_id)


def erased_with(db: Reader, user_id: int) -> dict[str, int]:
    """How much an erasure of the account takes with it, by kind: what is deleted, and the sessions that end."""
    return {name: db.execute(statement, {"user_id": user_id}).scalar_one() for name, statement in _GOES.items()}

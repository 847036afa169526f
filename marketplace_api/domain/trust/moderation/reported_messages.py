"""Messages that were reported, as moderators see them; all others are nobody's business but of the two.

What a message says is read by whom a report of it is assigned to, for that is on record, and by operators.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql

from marketplace_api.database.base import table_of
from marketplace_api.database.prepared import Reader
from marketplace_api.models.community.conversations import Message
from marketplace_api.models.identity.accounts import User
from marketplace_api.models.trust.reports import Report

_m, _r = table_of(Message).c, table_of(Report).c
_sender, _receiver = table_of(User).alias("sender"), table_of(User).alias("receiver")
_OF_MESSAGES = _r.subject_type == sa.literal_column("'message'")

_told = (
    sa.select(
        _r.subject_id,
        sa.func.count().label("reports"),
        sa.func.count().filter(_r.stage <= 1).label("undecided"),
        sa.cast(sa.func.array_agg(_r.reason.distinct()), postgresql.ARRAY(sa.Text)).label("reasons"),
        sa.func.max(_r.date_created).label("date_reported"),
    )
    .where(_OF_MESSAGES)
    .group_by(_r.subject_id)
    .subquery("told")
)

REPORTED = (
    sa.select(
        _m.message_id,
        _m.conversation_id,
        _m.sender_id,
        _m.receiver_id,
        _m.listing_id,
        _m.content,
        _m.timestamp_sent,
        _m.deleted_at,
        _m.moderation_reason,
        _m.version,
        sa.case((_m.deleted_at.is_not(None), "deleted"), else_="sent").label("status"),
        _sender.c.username.label("sender_username"),
        _receiver.c.username.label("receiver_username"),
        _told.c.reports,
        _told.c.undecided,
        _told.c.reasons,
        _told.c.date_reported,
    )
    .select_from(
        table_of(Message)
        .join(_told, _told.c.subject_id == _m.message_id)
        .join(_sender, _sender.c.user_id == _m.sender_id)
        .join(_receiver, _receiver.c.user_id == _m.receiver_id)
    )
    .subquery("reported")
)
"""Every message that was reported, with what the reports of it come to."""

LISTED = tuple(column for column in REPORTED.c if column.name not in ("content", "version"))
"""What an operator sees of a message in a list: not what it says."""

_ASSIGNED = sa.exists(
    sa.select(sa.literal_column("1")).where(
        _OF_MESSAGES, _r.subject_id == _m.message_id, _r.assignee_id == sa.bindparam("viewer_id", type_=sa.BigInteger)
    )
)
_FIND = (
    sa.select(
        _m.message_id,
        _m.conversation_id,
        _m.sender_id,
        _m.receiver_id,
        _m.listing_id,
        _m.timestamp_sent,
        _m.is_read,
        _m.deleted_at,
        _m.moderation_reason,
        _m.version,
        sa.case((_ASSIGNED, _m.content)).label("content"),
        _sender.c.username.label("sender_username"),
        _sender.c.state.label("sender_state"),
        _receiver.c.username.label("receiver_username"),
    )
    .select_from(
        table_of(Message)
        .join(_sender, _sender.c.user_id == _m.sender_id)
        .join(_receiver, _receiver.c.user_id == _m.receiver_id)
    )
    .where(
        _m.message_id == sa.bindparam("message_id"),
        sa.exists(sa.select(sa.literal_column("1")).where(_OF_MESSAGES, _r.subject_id == sa.bindparam("message_id"))),
    )
)


@dataclass(frozen=True, slots=True)
class Criteria:
    """Which reported messages: all of these at once; ``undecided`` ones have a report that nobody decided yet."""

    status: str | None = None
    sender_id: int | None = None
    reason: str | None = None
    undecided: bool = False
    since: datetime | None = None


def find(db: Reader, message_id: int, viewer_id: int | None) -> Any | None:
    """A message that was reported, or ``None``; ``content`` for whom a report of it is assigned to, else ``None``.

    The caller asks the ACL who may see it.
    """
    return db.execute(_FIND, {"message_id": message_id, "viewer_id": viewer_id}).first()


def list_page(db: Reader, wanted: Criteria, *, limit: int = 50, before: int | None = None) -> Sequence[Any]:
    """Reported messages by id, the newest first, at most ``limit``, below the id ``before``; rows of :data:`LISTED`."""
    own = REPORTED.c
    statement = sa.select(*LISTED).order_by(own.message_id.desc()).limit(limit)
    if before is not None:
        statement = statement.where(own.message_id < before)
    if wanted.status is not None:
        statement = statement.where(own.status == wanted.status)
    if wanted.sender_id is not None:
        statement = statement.where(own.sender_id == wanted.sender_id)
    if wanted.reason is not None:
        statement = statement.where(sa.literal(wanted.reason, sa.Text) == sa.any_(own.reasons))
    if wanted.undecided:
        statement = statement.where(own.undecided > 0)
    if wanted.since is not None:
        statement = statement.where(own.timestamp_sent >= wanted.since)
    rows: Sequence[Any] = db.execute(statement).all()
    return rows

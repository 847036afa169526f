"""All that is held about an account, as JSON-ready values (GDPR, articles 15 and 20)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime, time
from decimal import Decimal
from typing import Any

import sqlalchemy as sa

from marketplace_api.database.prepared import Reader
from marketplace_api.domain.kernel.actors import Actor
from marketplace_api.errors import Unauthenticated
from marketplace_api.models.catalog.bookmarks import Bookmark
from marketplace_api.models.catalog.listings import Listing
from marketplace_api.models.catalog.photos import ListingPhoto
from marketplace_api.models.catalog.videos import ListingVideo
from marketplace_api.models.community.conversations import REMOVED, Block, Conversation, ConversationSide, Message
from marketplace_api.models.community.reviews import Review
from marketplace_api.models.identity.accounts import AccountSession, OneTimeToken, User
from marketplace_api.models.kernel.events import Event
from marketplace_api.models.outbound.deliveries import Delivery
from marketplace_api.models.outbound.notifications import Notification, NotificationChoice, NotificationPreferences
from marketplace_api.models.outbound.phones import Phone, PhoneCode
from marketplace_api.models.outbound.push_subscriptions import PushSubscription
from marketplace_api.models.trust.reports import Report
from marketplace_api.models.trust.verifications import Verification

BATCH = 1000
MOST = 100_000
"""More rows than this of one kind are left out, and ``complete`` says so."""

_u, _s, _t = User.__table__.c, AccountSession.__table__.c, OneTimeToken.__table__.c
_l, _e = Listing.__table__.c, Event.__table__.c
_p, _v = ListingPhoto.__table__.c, ListingVideo.__table__.c
_b, _r = Bookmark.__table__.c, Review.__table__.c
_z = Verification.__table__.c
_c, _m, _side, _x = Conversation.__table__.c, Message.__table__.c, ConversationSide.__table__.c, Block.__table__.c

_n, _choice, _quiet = Notification.__table__.c, NotificationChoice.__table__.c, NotificationPreferences.__table__.c

# Secrets are not data about a person; counters and generated columns are not either.
_PROFILE = [column for column in _u if column.name != "password_hash"]
_SESSIONS = [column for column in _s if column.name not in ("refresh_hash", "refresh_nonce", "refresh_generation")]
_TOKENS = [column for column in _t if column.name not in ("token_hash", "event_id")]
_LISTINGS = [column for column in _l if column.computed is None and column.name != "import_key"]
_CONVERSATIONS = [
    _c.conversation_id,
    _c.participant1_id,
    _c.participant2_id,
    _c.timestamp_created,
    _c.timestamp_updated,
    _side.archived,
    _side.unread_count,
    _side.hidden_through,
    _side.read_through,
]
# What moderators removed is still there for who wrote it, as why it was removed is.
_RECEIVED = [column for column in _m if column.name not in ("content", "moderation_reason")]
_RECEIVED.append(sa.case((_m.deleted_at.is_(None), _m.content), else_=REMOVED).label("content"))
_VERIFICATIONS = [column for column in _z if column.name not in ("file_key", "key_id", "envelope", "decided_by")]
_NOTIFICATIONS = [column for column in _n if column.name not in ("group_key", "event_id")]
_d = Delivery.__table__.c
_DELIVERIES = [column for column in _d if column.name not in ("group_key", "event_id", "provider_reference")]
_reports = Report.__table__.c
_REPORTS = [
    _reports.report_id,
    _reports.subject_type,
    _reports.subject_id,
    _reports.reason,
    _reports.comment,
    _reports.state,
    _reports.decision_reason,
    _reports.date_created,
    _reports.date_decided,
]
_phone, _code, _push = Phone.__table__.c, PhoneCode.__table__.c, PushSubscription.__table__.c
_CODES = [column for column in _code if column.name not in ("code_hash", "event_id")]
_SUBSCRIPTIONS = [column for column in _push if column.name not in ("p256dh", "auth")]
_EVENTS = [_e.event_id, _e.type, _e.subject_type, _e.subject_id, _e.previous, _e.new, _e.date_created]


def collect_own(db: Reader, actor: Actor) -> dict[str, Any]:
    """All that is held about the caller, JSON-ready; see :func:`collect`. Raises :class:`Unauthenticated`."""
    if actor.user_id is None:
        raise Unauthenticated("Log in first.")
    return collect(db, actor.user_id)


def collect(db: Reader, user_id: int) -> dict[str, Any]:
    """``profile``, ``sessions``, ``one_time_tokens``, ``listings``, ``photos`` and ``videos`` (of these;
    ``full_key`` and ``video_key`` are their files), ``bookmarks``, ``reviews`` and ``reports`` (those that it made),
    ``conversations``, ``messages_sent``, ``messages_received``, ``blocks`` (its own), ``verifications`` (documents by
    name), ``notifications``, ``deliveries`` (of these by e-mail, SMS and push), ``notification_choices`` (where not the
    default), ``notification_preferences`` (quiet hours, digest), ``phones``, ``phone_codes`` (numbers that wait),
    ``push_subscriptions`` (without their keys) and ``events`` of an account; ``complete``.

    Events are those that the account caused and those about it. Who else had a part in them is not told, but
    the reason that was given is. Times are ISO 8601 with offset (UTC), amounts are decimal strings.
    """
    profile = db.execute(sa.select(*_PROFILE).where(_u.user_id == user_id)).mappings().one()
    parts = {
        "sessions": _all(db, _s.session_id, sa.select(*_SESSIONS).where(_s.user_id == user_id)),
        "one_time_tokens": _all(db, _t.date_created, sa.select(*_TOKENS).where(_t.user_id == user_id), paged=False),
        "listings": _all(db, _l.listing_id, sa.select(*_LISTINGS).where(_l.user_id == user_id)),
        "photos": _all(db, _p.photo_id, _photos(user_id)),
        "videos": _all(db, _v.listing_id, _videos(user_id)),
        "bookmarks": _all(db, _b.bookmark_id, sa.select(*_b).where(_b.user_id == user_id)),
        "reviews": _all(db, _r.review_id, sa.select(*_r).where(_r.reviewer_id == user_id)),
        "conversations": _all(db, _c.conversation_id, _conversations(user_id)),
        "messages_sent": _all(db, _m.message_id, sa.select(*_m).where(_m.sender_id == user_id)),
        "messages_received": _all(db, _m.message_id, sa.select(*_RECEIVED).where(_m.receiver_id == user_id)),
        "blocks": _all(db, _x.blocked_id, sa.select(*_x).where(_x.user_id == user_id)),
        "verifications": _all(db, _z.verification_id, sa.select(*_VERIFICATIONS).where(_z.user_id == user_id)),
        "notifications": _all(db, _n.notification_id, sa.select(*_NOTIFICATIONS).where(_n.user_id == user_id)),
        "deliveries": _all(db, _d.delivery_id, sa.select(*_DELIVERIES).where(_d.user_id == user_id)),
        "notification_choices": _all(
            db, _choice.type, sa.select(*_choice).where(_choice.user_id == user_id), paged=False
        ),
        "notification_preferences": _all(db, _quiet.user_id, sa.select(*_quiet).where(_quiet.user_id == user_id)),
        "reports": _all(db, _reports.report_id, sa.select(*_REPORTS).where(_reports.reporter_id == user_id)),
        "phones": _all(db, _phone.user_id, sa.select(*_phone).where(_phone.user_id == user_id)),
        "phone_codes": _all(db, _code.user_id, sa.select(*_CODES).where(_code.user_id == user_id)),
        "push_subscriptions": _all(
            db, _push.subscription_id, sa.select(*_SUBSCRIPTIONS).where(_push.user_id == user_id)
        ),
        "events": _all(db, _e.event_id, _events(user_id)),
    }
    complete = all(len(rows) < MOST for rows in parts.values())
    return {"profile": _ready(profile), **parts, "complete": complete}


def _photos(user_id: int) -> sa.Select[Any]:
    columns = (_p.photo_id, _p.listing_id, _p.position, _p.alt_text, _p.full_key, _p.date_created)
    return sa.select(*columns).join_from(ListingPhoto.__table__, Listing.__table__).where(_l.user_id == user_id)


def _videos(user_id: int) -> sa.Select[Any]:
    columns = (_v.listing_id, _v.seconds, _v.video_key, _v.date_created)
    return sa.select(*columns).join_from(ListingVideo.__table__, Listing.__table__).where(_l.user_id == user_id)


def _conversations(user_id: int) -> sa.Select[Any]:
    own_side = sa.and_(_side.conversation_id == _c.conversation_id, _side.user_id == user_id)
    takes_part = sa.or_(_c.participant1_id == user_id, _c.participant2_id == user_id)
    return (
        sa.select(*_CONVERSATIONS)
        .join_from(Conversation.__table__, ConversationSide.__table__, own_side)
        .where(takes_part)
    )


def _events(user_id: int) -> sa.Select[Any]:
    mine = _e.actor_id.is_not_distinct_from(user_id)
    verifications = sa.select(_z.verification_id).where(_z.user_id == user_id)
    about_me = sa.or_(
        sa.and_(_e.subject_type == "user", _e.subject_id == user_id),
        sa.and_(_e.subject_type == "verification", _e.subject_id.in_(verifications)),
    )
    return sa.select(*_EVENTS, sa.case((about_me, _e.reason)).label("reason"), mine.label("by_you")).where(
        sa.or_(_e.actor_id == user_id, about_me)
    )


def _all(db: Reader, key: sa.ColumnElement[Any], statement: sa.Select[Any], *, paged: bool = True) -> list[Any]:
    batches = _batches(db, key, statement) if paged else iter([db.execute(statement.limit(BATCH)).mappings().all()])
    return [_ready(row) for batch in batches for row in batch]


def _batches(db: Reader, key: sa.ColumnElement[Any], statement: sa.Select[Any]) -> Iterator[Any]:
    last, found = 0, 0
    while found < MOST:
        batch = db.execute(statement.where(key > last).order_by(key).limit(BATCH)).mappings().all()
        yield batch
        if len(batch) < BATCH:
            return
        last, found = batch[-1][key.key or ""], found + len(batch)


def _ready(row: Mapping[str, Any]) -> dict[str, Any]:
    return {name: _value(value) for name, value in row.items()}


def _value(value: Any) -> Any:
    if isinstance(value, datetime | time):
        return value.isoformat()
    return str(value) if isinstance(value, Decimal) else value

"""What is deleted, and what is kept without a person behind it, when an account is erased (GDPR, article 17).

The row of the account stays, nameless, for those who dealt with it. So does the event log, which nobody can
change: that is why events name ids and fields, and never a person's values.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session

from marketplace_api.domain.identity.accounts import admins, errors, lifecycle, login_throttle, queries, sessions
from marketplace_api.domain.identity.accounts.config import AccountRules
from marketplace_api.domain.kernel.actors import Actor
from marketplace_api.domain.kernel.events import EventType, record
from marketplace_api.domain.outbound.phones import confirmation
from marketplace_api.domain.outbound.push_subscriptions import subscriptions
from marketplace_api.domain.trust.verifications import documents
from marketplace_api.errors import Forbidden
from marketplace_api.models.catalog.bookmarks import Bookmark
from marketplace_api.models.catalog.listings import Listing
from marketplace_api.models.community.conversations import REMOVED, Block, Conversation, Message
from marketplace_api.models.eventlog.stream_tickets import StreamTicket
from marketplace_api.models.identity.accounts import AccountSession, OneTimeToken, User
from marketplace_api.models.outbound.deliveries import Delivery
from marketplace_api.models.outbound.notifications import Notification, NotificationChoice, NotificationPreferences
from marketplace_api.models.trust.reports import Report

_EMPTY: dict[str, Any] = {
    "email": None,
    "pending_email": None,
    "email_confirmed_at": None,
    "email_bounced_at": None,
    "password_hash": None,
    "bio": None,
    "profile_picture_url": None,
    "contact_information": {},
    "state_reason": None,
    "suspended_until": None,
    "is_verified": False,
    "last_login": None,
    "roles": ["customer"],
    "state": "erased",
}


def erase_due(session: Session, rules: AccountRules, now: datetime, limit: int = 100) -> int:
    """Erase up to ``limit`` accounts that were deactivated long enough before ``now`` (aware); returns how
    many.

    For a periodic job; several may run at once, each takes what no other has.
    """
    due = (
        sa.select(User)
        .where(User.state == "deactivated", User.deactivated_at <= now - rules.erase_after)
        .order_by(User.deactivated_at)
        .limit(limit)
        .with_for_update(skip_locked=True, key_share=True)
        .execution_options(populate_existing=True)
    )
    users = session.execute(due).scalars().all()
    for user in users:
        erase_account(session, rules, user, Actor(username="erasure"))
    return len(users)


def erase(session: Session, rules: AccountRules, actor: Actor, user_id: int, *, also_last_admin: bool = False) -> User:
    """Erase an account's personal data at once, whatever its state; raises :class:`Forbidden` for who is no admin and for
    one's own account, :class:`Gone` when that was done before, and :class:`Conflict` ``last_admin`` unless
    ``also_last_admin``."""
    if not actor.administers:
        raise Forbidden("Only admins erase the accounts of others.")
    admins.take_turns(session, [user_id])
    user, _ = queries.lock_user(session, user_id)
    if user.state == "erased":
        raise errors.gone()
    lifecycle.require_power(actor, user)
    if not also_last_admin:
        admins.require_another(session, user)
    erase_account(session, rules, user, actor)
    return user


def erase_account(session: Session, rules: AccountRules, user: User, actor: Actor) -> None:
    """Erase the personal data of a locked account; files of its own are deleted by the job that the event
    starts.

    Listings are deleted and lose place, description and photos; title, category and price stay for those who
    have them in a conversation or a review. Reviews stay, without a name: others' ratings rest on them.
    So do messages, for those who got them; when the other of the two is erased as well, their conversation is deleted.
    Reports stay, of nobody; what was written in them goes with the decision, in those about the account at once.
    """
    if user.email is not None:
        login_throttle.forget(session, rules, user.email)
    sessions.end_all(session, user.user_id, "erased", actor=actor)
    for name, value in _EMPTY.items():
        setattr(user, name, value)
    user.version += 1
    with queries.keeping_unique(session, username=None, email=None, user_id=user.user_id):
        user.username = f"deleted-{user.user_id}"
    session.execute(_quietly(sa.delete(OneTimeToken).where(OneTimeToken.user_id == user.user_id)))
    session.execute(_quietly(sa.delete(StreamTicket).where(StreamTicket.user_id == user.user_id)))
    session.execute(_quietly(sa.delete(Bookmark).where(Bookmark.user_id == user.user_id)))
    for model in (Delivery, Notification, NotificationChoice, NotificationPreferences):
        session.execute(_quietly(sa.delete(model).where(model.user_id == user.user_id)))
    confirmation.forget(session, user.user_id)
    subscriptions.forget_all(session, user.user_id)
    _erase_messages(session, user.user_id)
    documents.forget(session, user.user_id)
    _erase_reports(session, user.user_id)
    session.execute(
        _quietly(sa.update(AccountSession).where(AccountSession.user_id == user.user_id).values(device="", address=""))
    )
    listings = session.execute(
        _quietly(
            sa.update(Listing)
            .where(Listing.user_id == user.user_id)
            .values(
                description="",
                address=None,
                zip=None,
                city=None,
                state=None,
                latitude=None,
                longitude=None,
                photos_urls=[],
                import_key=None,
                owner_hidden=True,
                deleted_at=sa.func.coalesce(Listing.deleted_at, sa.func.now()),
                version=Listing.version + 1,
            )
            .returning(Listing.listing_id)
        )
    )
    record(session, actor, EventType.USER_ERASED, user.user_id, new={"listings": len(listings.all())})


def _erase_messages(session: Session, user_id: int) -> None:
    """Whom the account had blocked, the conversations that nobody is left to read, with their messages, and the words
    of those that moderators removed, which nobody reads any more."""
    one, other = Conversation.participant1_id, Conversation.participant2_id
    counterpart = sa.case((one == user_id, other), else_=one)
    nobody_left = sa.and_(sa.or_(one == user_id, other == user_id), User.user_id == counterpart, User.state == "erased")
    session.execute(_quietly(sa.delete(Conversation).where(nobody_left)))
    session.execute(_quietly(sa.delete(Block).where(Block.user_id == user_id)))
    removed = sa.update(Message).where(Message.sender_id == user_id, Message.deleted_at.is_not(None))
    session.execute(_quietly(removed.values(content=REMOVED, moderation_reason="")))


def _erase_reports(session: Session, user_id: int) -> None:
    """Who made a report is forgotten, its words with the decision; what was said of the account goes at once."""
    decided = Report.date_decided.is_not(None)
    kept = sa.case((decided, ""), else_=Report.comment)
    made = sa.update(Report).where(Report.reporter_id == user_id).values(reporter_id=None, comment=kept)
    session.execute(_quietly(made))
    about = sa.update(Report).where(Report.reported_id == user_id).values(comment="", decision_reason=None)
    session.execute(_quietly(about))


def _quietly(statement: Any) -> Any:
    return statement.execution_options(synchronize_session=False)

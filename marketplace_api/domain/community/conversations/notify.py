"""Telling somebody of a message that came."""

from __future__ import annotations

import sqlalchemy as sa
from sqlalchemy.orm import Session

from marketplace_api.database.base import table_of
from marketplace_api.domain.outbound.notifications.create import NewNotification, notify
from marketplace_api.models.community.conversations import ConversationSide, Message

_s, _m = table_of(ConversationSide).c, table_of(Message).c


def notify_receiver(session: Session, receiver_id: int, message_id: int, notice: NewNotification) -> None:
    """Tell of a message that was neither read nor removed meanwhile.

    The receiver's side of the conversation is held, so that who reads it now does so before this, or marks as read what
    this makes.
    """
    side = (
        sa.select(_s.read_through, _s.hidden_through)
        .where(_s.conversation_id == notice.conversation_id, _s.user_id == receiver_id)
        .with_for_update(read=True)
    )
    seen = session.execute(side).first()
    if seen is None or message_id <= max(seen):
        return
    # Not together with the side: what was committed while that was waited for must be seen.
    news = sa.select(_m.message_id).where(_m.message_id == message_id, _m.is_read.is_(False), _m.deleted_at.is_(None))
    if session.execute(news).first() is not None:
        notify(session, receiver_id, notice)

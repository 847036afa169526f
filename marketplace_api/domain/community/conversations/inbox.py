"""What one of the two does with a conversation: read it, put it away, delete it from their own view.

Each of these is one change of that person's side, however long the conversation is; the other side sees nothing of it
but that messages were read.
"""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session

from marketplace_api.database.base import table_of
from marketplace_api.domain.community.conversations import queries
from marketplace_api.domain.kernel.actors import Actor
from marketplace_api.domain.kernel.events import EventType, record
from marketplace_api.domain.outbound.notifications import inbox as notifications
from marketplace_api.errors import Conflict, Forbidden, NotFound
from marketplace_api.models.community.conversations import ConversationSide, Message

_side = table_of(ConversationSide)
_s, _m = _side.c, table_of(Message).c

_OWN = (
    sa.select(_side)
    .where(_s.conversation_id == sa.bindparam("conversation_id"), _s.user_id == sa.bindparam("user_id"))
    .with_for_update(key_share=True)
)


def mark_all_read(session: Session, actor: Actor, conversation_id: int) -> Any:
    """Everything that has come so far is read; returns the conversation's row. Raises NotFound.

    To have nothing unread is no error.
    """
    side = _lock(session, actor, conversation_id)
    if side.unread_count:
        _change(session, side, {"read_through": _s.last_message_id, "unread_count": 0})
        notifications.conversation_read(session, side.user_id, conversation_id)
        record(
            session,
            actor,
            EventType.CONVERSATION_READ,
            conversation_id,
            new=_event_data(side) | {"messages": side.unread_count},
        )
    return queries.find(session, conversation_id, side.user_id)


def mark_read(session: Session, actor: Actor, message_id: int) -> None:
    """The receiver has read one message; to have read it before, or that it was removed, is no error.

    Raises NotFound, and Forbidden for its sender.
    """
    row = queries.find_message(session, message_id, actor.user_id or 0)
    if row is None:
        raise NotFound("There is no such message.")
    if not actor.owns(row.receiver_id):
        raise Forbidden("Only who got a message marks it as read.")
    # From here on the side stays as it is, so the message is counted once even if two ask at the same time.
    side = _lock(session, actor, row.conversation_id)
    if message_id <= side.read_through or message_id <= side.hidden_through:
        return
    # One that was removed is not counted as unread, and is unread again should it come back.
    is_unread = sa.and_(Message.is_read.is_(False), Message.deleted_at.is_(None))
    unread = sa.update(Message).where(Message.message_id == message_id, is_unread).values(is_read=True)
    if (
        session.execute(unread.returning(Message.message_id), execution_options={"synchronize_session": False}).first()
        is None
    ):
        return
    _change(session, side, {"unread_count": _s.unread_count - 1})
    if side.unread_count == 1:
        notifications.conversation_read(session, side.user_id, row.conversation_id)
    record(
        session,
        actor,
        EventType.MESSAGE_READ,
        message_id,
        new=_event_data(side) | {"conversation_id": row.conversation_id},
    )


def archive(session: Session, actor: Actor, conversation_id: int, *, archived: bool) -> Any:
    """Put a conversation away, or back among the current ones; returns its row.

    It stays where it is when messages come. Raises NotFound, and Conflict ``wrong_state`` when it is there already.
    """
    side = _lock(session, actor, conversation_id)
    if side.archived == archived:
        raise wrong_place(conversation_id, archived=archived)
    _change(session, side, {"archived": archived})
    type = EventType.CONVERSATION_ARCHIVED if archived else EventType.CONVERSATION_UNARCHIVED
    record(session, actor, type, conversation_id, new=_event_data(side))
    return queries.find(session, conversation_id, side.user_id)


def wrong_place(conversation_id: int, *, archived: bool) -> Conflict:
    """The refusal to put a conversation where it is."""
    state = "archived" if archived else "current"
    return Conflict(
        f"The conversation is {state} already.",
        "wrong_state",
        extra={"state": state},
        link=f"/api/conversations/{conversation_id}",
    )


def hide(session: Session, actor: Actor, conversation_id: int) -> None:
    """Delete what there is so far from the actor's own view. A new message brings the conversation back, with no more
    than what came since.

    What was unread is not told to have been read. Raises NotFound.
    """
    side = _lock(session, actor, conversation_id)
    values = {"hidden_through": _s.last_message_id, "message_count": 0, "unread_count": 0, "archived": False}
    _change(session, side, values)
    notifications.conversation_read(session, side.user_id, conversation_id)
    record(session, actor, EventType.CONVERSATION_HIDDEN, conversation_id, new=_event_data(side))


def _lock(session: Session, actor: Actor, conversation_id: int) -> Any:
    """The actor's side as it is now, held until the transaction ends; raises NotFound if there is nothing to see."""
    row = session.execute(_OWN, {"conversation_id": conversation_id, "user_id": actor.user_id}).first()
    if row is None or row.last_message_id <= row.hidden_through:
        raise NotFound("You have no such conversation.")
    return row


def _change(session: Session, side: Any, values: dict[str, Any]) -> None:
    mine = sa.and_(_s.conversation_id == side.conversation_id, _s.user_id == side.user_id)
    session.execute(sa.update(_side).where(mine).values(values))


def _event_data(side: Any) -> dict[str, Any]:
    return {"user_id": side.user_id, "other_id": side.other_id}

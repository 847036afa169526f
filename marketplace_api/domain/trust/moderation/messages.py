"""Moderators and messages: taking one that was reported out of the conversation, and bringing it back.

Both of the two see that a message was removed; its words are kept for the moderators alone. Events name ids and the
reason, never what was written: the log outlives both.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session

from marketplace_api.database import row_security
from marketplace_api.database.base import table_of
from marketplace_api.domain.community.conversations.send import lock_pair
from marketplace_api.domain.kernel.actors import Actor
from marketplace_api.domain.kernel.events import EventType, record
from marketplace_api.domain.outbound.notifications import inbox as notifications
from marketplace_api.domain.trust.moderation import reported_messages
from marketplace_api.errors import Conflict, Forbidden, NotFound, PreconditionFailed
from marketplace_api.models.community.conversations import Conversation, ConversationSide, Message

_m, _c = table_of(Message).c, table_of(Conversation).c
_side = table_of(ConversationSide)
_s = _side.c


def read(session: Session, actor: Actor, message_id: int) -> Any:
    """A reported message with all its columns (of ``reported_messages.REPORTED``), for an operator; that it was read is on record.

    Raises NotFound for one that nobody reported, and Forbidden for who sent or got it.
    """
    row = session.execute(
        sa.select(reported_messages.REPORTED).where(reported_messages.REPORTED.c.message_id == message_id)
    ).first()
    if row is None:
        raise absent()
    _require_other(actor, row)
    record(session, actor, EventType.MESSAGE_OPENED, message_id, new=_ids(row))
    return row


def remove(session: Session, actor: Actor, message_id: int, *, reason: str, expected_version: int | None = None) -> Any:
    """Take a reported message out of the conversation; its sender reads the ``reason``. Returns its row.

    Unread, it counts as that no more. Raises NotFound for one that nobody reported, Forbidden for who sent or got it,
    PreconditionFailed, and Conflict ``wrong_state`` when it was removed before.
    """
    with _of_both(session, actor, message_id):
        row, side = _hold(session, actor, message_id, expected_version)
        if row.deleted_at is not None:
            raise refused(row)
        _change(session, message_id, {"deleted_at": sa.func.now(), "moderation_reason": reason})
        if _counts(row, side):
            _unread(session, side, -1)
            if side.unread_count == 1:
                notifications.conversation_read(session, side.user_id, row.conversation_id)
        return _event_data(session, replace(actor, reason=reason), EventType.MESSAGE_DELETED, row)


def restore(session: Session, actor: Actor, message_id: int, *, expected_version: int | None = None) -> Any:
    """Bring a removed message back, unread if it was; returns its row.

    Raises NotFound, Forbidden and PreconditionFailed as :func:`remove` does, and Conflict ``wrong_state`` where it is
    there, or where its sender was erased, and its words with them.
    """
    with _of_both(session, actor, message_id):
        row, side = _hold(session, actor, message_id, expected_version)
        if row.deleted_at is None or row.sender_state == "erased":
            raise refused(row)
        _change(session, message_id, {"deleted_at": None, "moderation_reason": None})
        if _counts(row, side):
            _unread(session, side, 1)
        return _event_data(session, actor, EventType.MESSAGE_RESTORED, row)


def is_restorable(row: Any) -> bool:
    """Whether a removed message can come back."""
    return row.deleted_at is not None and row.sender_state != "erased"


def refused(row: Any) -> Conflict:
    """The refusal to remove what was removed, or to restore what is there or lost its words."""
    state = "sent" if row.deleted_at is None else "deleted"
    gone = state == "deleted" and row.sender_state == "erased"
    detail = "Its sender was erased, and its words with them." if gone else f"The message is {state}."
    link = f"/api/moderation/messages/{row.message_id}"
    return Conflict(detail, "wrong_state", extra={"state": state}, link=link)


def absent() -> NotFound:
    return NotFound("There is no such message among those that were reported.")


@contextmanager
def _of_both(session: Session, actor: Actor, message_id: int) -> Iterator[None]:
    """Sees what belongs to the two of the conversation, once it is sure that the caller may judge this message."""
    found = reported_messages.find(session, message_id, actor.user_id)
    if found is None:
        raise absent()
    _require_other(actor, found)
    with row_security.elevated(session):
        yield


def _hold(session: Session, actor: Actor, message_id: int, expected_version: int | None) -> tuple[Any, Any]:
    """The message, and the receiver's side of its conversation, held until the transaction ends.

    In the order in which sending locks things: the pair, the conversation, its sides; and the side before the message,
    as who marks it as read does.
    """
    found = reported_messages.find(session, message_id, actor.user_id)
    if found is None:
        raise absent()
    lock_pair(session, found.sender_id, found.receiver_id)
    conversation = sa.select(_c.conversation_id).where(_c.conversation_id == found.conversation_id)
    session.execute(conversation.with_for_update(key_share=True))
    mine = sa.and_(_s.conversation_id == found.conversation_id, _s.user_id == found.receiver_id)
    side = session.execute(sa.select(_side).where(mine).with_for_update(key_share=True)).first()
    held = session.execute(
        sa.select(_m.is_read).where(_m.message_id == message_id).with_for_update(key_share=True)
    ).first()
    row = reported_messages.find(session, message_id, actor.user_id)
    if side is None or held is None or row is None:
        raise absent()
    if expected_version is not None and row.version != expected_version:
        raise PreconditionFailed("It changed since you read it; `current` shows what it is now.")
    return row, side


def _require_other(actor: Actor, row: Any) -> None:
    if is_of(actor, row):
        raise concerned()


def is_of(actor: Actor, row: Any) -> bool:
    """Whether ``actor`` is one of the two of a message."""
    return actor.user_id is not None and actor.user_id in (row.sender_id, row.receiver_id)


def concerned() -> Forbidden:
    return Forbidden("Others decide on a message that you sent or got.")


def _counts(row: Any, side: Any) -> bool:
    """Whether the message, where it is seen, is one of the unread ones of its receiver."""
    return not row.is_read and row.message_id > max(side.read_through, side.hidden_through)


def _unread(session: Session, side: Any, change: int) -> None:
    mine = sa.and_(_s.conversation_id == side.conversation_id, _s.user_id == side.user_id)
    session.execute(sa.update(_side).where(mine).values(unread_count=_s.unread_count + change))


def _change(session: Session, message_id: int, values: Mapping[str, Any]) -> None:
    statement = sa.update(Message).where(Message.message_id == message_id)
    session.execute(
        statement.values(**values, version=Message.version + 1), execution_options={"synchronize_session": False}
    )


def _event_data(session: Session, actor: Actor, type: EventType, row: Any) -> Any:
    there, gone = {"status": "sent"}, {"status": "deleted"}
    previous, now = (there, gone) if type is EventType.MESSAGE_DELETED else (gone, there)
    record(session, actor, type, row.message_id, previous=previous, new={**_ids(row), **now})
    return reported_messages.find(session, row.message_id, actor.user_id)


def _ids(row: Any) -> dict[str, Any]:
    return {name: getattr(row, name) for name in ("conversation_id", "sender_id", "receiver_id")}

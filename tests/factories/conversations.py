"""Conversations for tests."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session

from marketplace_api.domain.community.conversations import send as conversation_send
from marketplace_api.domain.kernel.actors import Actor
from marketplace_api.models.community.conversations import Block, Conversation, Message
from marketplace_api.models.identity.accounts import User


def actor_of(user: User) -> Actor:
    """``user`` as the caller of domain functions."""
    return Actor(user_id=user.user_id, username=user.username, roles=frozenset(user.roles), state=user.state)


def send(session: Session, sender: User, receiver: User, content: str = "Is it still there?", **values: Any) -> Any:
    """A message, committed; returns its row."""
    row = conversation_send.send(session, actor_of(sender), content=content, receiver_id=receiver.user_id, **values)
    session.commit()
    return row


def block(session: Session, owner: User, other: User) -> None:
    """``owner`` takes no messages of ``other``'s from here on."""
    session.execute(sa.insert(Block).values(user_id=owner.user_id, blocked_id=other.user_id))
    session.commit()


def fill(session: Session, sender: User, receiver: User, messages: int) -> int:
    """A conversation with that many messages of ``sender``'s, in one statement; returns its id."""
    first, second = sorted((sender.user_id, receiver.user_id))
    made = (
        sa.insert(Conversation)
        .values(participant1_id=first, participant2_id=second)
        .returning(Conversation.conversation_id)
    )
    conversation_id: int = session.execute(made).scalar_one()
    numbers = sa.select(sa.func.generate_series(1, messages).label("n")).subquery()
    columns = ["conversation_id", "sender_id", "receiver_id", "content"]
    values = sa.select(
        sa.literal(conversation_id),
        sa.literal(sender.user_id),
        sa.literal(receiver.user_id),
        sa.func.concat("Message ", numbers.c.n),
    )
    session.execute(sa.insert(Message.__table__).from_select(columns, values))
    session.commit()
    return conversation_id

"""Sending a message: into the one conversation of the two, which is made with the first.

Nobody's name and none of the content goes into events: the log outlives both.
"""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql
from sqlalchemy.orm import Session

from marketplace_api.database.base import table_of
from marketplace_api.database.prepared import Prepared
from marketplace_api.domain.catalog.listings import queries as listing_rows
from marketplace_api.domain.catalog.listings import visibility
from marketplace_api.domain.community.conversations import policy, queries
from marketplace_api.domain.kernel.actors import Actor
from marketplace_api.domain.kernel.events import EventType, record
from marketplace_api.errors import NotFound
from marketplace_api.models.community.conversations import Conversation, ConversationSide, Message

_c, _s = table_of(Conversation).c, table_of(ConversationSide).c

# Not ``Prepared``: whoever loses a deadlock is tried again, and only SQLAlchemy's errors are known for that.
_LOCK_PAIR = sa.text("SELECT lock_pair(:one, :other)")
# Not through the unit of work, which would cost three times as much and has nothing to keep track of.
_INSERT = sa.insert(table_of(Message)).returning(table_of(Message).c.message_id)
_COUNTERPART = Prepared(
    sa.select(_s.other_id).where(
        _s.conversation_id == sa.bindparam("conversation_id"), _s.user_id == sa.bindparam("sender_id")
    )
)
_CONVERSATION = Prepared(
    sa.select(_c.conversation_id).where(
        _c.participant1_id == sa.bindparam("one"), _c.participant2_id == sa.bindparam("other")
    )
)


def send(
    session: Session,
    actor: Actor,
    *,
    content: str,
    receiver_id: int | None = None,
    conversation_id: int | None = None,
    listing_id: int | None = None,
) -> Any:
    """A message of ``actor``'s, to a person or into a conversation of theirs (one of the two); returns its row.

    ``listing_id`` says what it is about. Raises NotFound (no such account, conversation or listing), Gone
    (``recipient_gone``, or a deleted listing) and Forbidden (``blocked``, ``blocked_by_you``, ``message_to_oneself``).
    """
    sender_id = actor.user_id or 0
    other = receiver_id if receiver_id is not None else _counterpart(session, conversation_id, sender_id)
    if other != sender_id:
        lock_pair(session, sender_id, other)
    # A conversation goes only when both accounts are erased, and to those nothing is sent.
    known = conversation_id or _conversation_of(session, sender_id, other)
    policy.require_reachable(session, actor, other, is_known=known is not None)
    if listing_id is not None:
        visibility.require_visible(listing_rows.find(session, listing_id), actor)
    values = {
        "conversation_id": known or _begin(session, sender_id, other),
        "sender_id": sender_id,
        "receiver_id": other,
        "listing_id": listing_id,
    }
    message_id: int = session.execute(_INSERT, values | {"content": content}).scalar_one()
    record(session, actor, EventType.MESSAGE_SENT, message_id, new=values)
    return queries.find_message(session, message_id, sender_id)


def lock_pair(session: Session, one: int, other: int) -> None:
    """Until the transaction ends, nobody else writes a message or a block between the two; see the triggers."""
    session.execute(_LOCK_PAIR, {"one": one, "other": other})


def _counterpart(session: Session, conversation_id: int | None, sender_id: int) -> int:
    """The other of the two. A conversation that the sender deleted from their view counts: the message revives it."""
    row = _COUNTERPART.first(session, {"conversation_id": conversation_id, "sender_id": sender_id})
    if row is None:
        raise NotFound("You have no such conversation; nothing was sent.")
    return int(row.other_id)


def _conversation_of(session: Session, one: int, other: int) -> int | None:
    row = _CONVERSATION.first(session, {"one": min(one, other), "other": max(one, other)})
    return None if row is None else row.conversation_id


def _begin(session: Session, one: int, other: int) -> int:
    """The conversation of two who had none. Who holds the pair finds it free, but a constraint has the last word."""
    first, second = min(one, other), max(one, other)
    made = postgresql.insert(Conversation).values(participant1_id=first, participant2_id=second)
    kept = made.on_conflict_do_update(
        index_elements=["participant1_id", "participant2_id"], set_={"participant1_id": made.excluded.participant1_id}
    )
    conversation_id: int = session.execute(kept.returning(Conversation.conversation_id)).scalar_one()
    return conversation_id

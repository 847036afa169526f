"""What the tests of conversations look at: what a person sees, and the same counted from the rows themselves."""

from __future__ import annotations

import sqlalchemy as sa
from sqlalchemy.orm import Session

from marketplace_api.domain.community.conversations import queries, reading
from marketplace_api.domain.kernel.paging import PageRequest
from marketplace_api.models.community.conversations import Inbox
from marketplace_api.models.identity.accounts import User


def listed(db: Session, user: User, *, archived: bool = False) -> tuple[list[int], int]:
    """The ids of a person's conversations in order, and what is unread in total."""
    page, unread = reading.conversations(db, user.user_id, PageRequest(), archived=archived)
    assert page.total == len(page.items)
    return [row.conversation_id for row in page.items], unread


def contents(db: Session, user: User, conversation_id: int) -> list[str]:
    page = reading.messages(db, queries.find(db, conversation_id, user.user_id), PageRequest(limit=100))
    assert page.total == len(page.items)
    return [row.content for row in page.items]


def inbox(db: Session, user: User) -> tuple[int, int, int]:
    box = db.get(Inbox, user.user_id, populate_existing=True)
    return (box.unread_count, box.current_count, box.archived_count) if box is not None else (0, 0, 0)


def true_inbox(db: Session, user: User) -> tuple[int, int, int]:
    """The same counted from the sides."""
    statement = sa.text(
        "SELECT coalesce(sum(unread_count), 0), "
        "count(*) FILTER (WHERE last_message_id > hidden_through AND NOT archived), "
        "count(*) FILTER (WHERE last_message_id > hidden_through AND archived) "
        "FROM conversation_sides WHERE user_id = :id"
    )
    unread, current, archived = db.execute(statement, {"id": user.user_id}).one()
    return unread, current, archived


def true_unread(db: Session, user: User) -> int:
    """The unread messages of a person, counted one by one."""
    statement = sa.text(
        "SELECT count(*) FROM messages AS m JOIN conversation_sides AS s USING (conversation_id) "
        "WHERE s.user_id = :id AND m.receiver_id = :id AND NOT m.is_read AND m.deleted_at IS NULL "
        "AND m.message_id > greatest(s.read_through, s.hidden_through)"
    )
    return int(db.execute(statement, {"id": user.user_id}).scalar_one())

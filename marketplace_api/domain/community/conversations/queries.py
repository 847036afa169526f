"""The light rows that reading conversations and messages gives: named columns, seen from one of the two sides."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa

from marketplace_api.database.base import table_of
from marketplace_api.database.prepared import Prepared, Reader
from marketplace_api.domain.identity.accounts.queries import LIVING
from marketplace_api.models.catalog.listings import Listing
from marketplace_api.models.community.conversations import REMOVED, Block, Conversation, ConversationSide, Message
from marketplace_api.models.identity.accounts import User

_c, _m, _b = table_of(Conversation).c, table_of(Message).c, table_of(Block)
_l = table_of(Listing).c
_side, _other = table_of(ConversationSide).alias("side"), table_of(ConversationSide).alias("other")
_person = table_of(User).alias("person")


def _lives(account: sa.FromClause) -> sa.ColumnElement[bool]:
    return sa.or_(*(account.c.state == sa.literal_column(f"'{state}'") for state in LIVING))


def _blocks(name: str, blocker: sa.ColumnElement[int], blocked: sa.ColumnElement[int]) -> sa.ColumnElement[bool]:
    block = _b.alias(name)
    return sa.exists(
        sa.select(sa.literal_column("1")).where(block.c.user_id == blocker, block.c.blocked_id == blocked)
    ).label(name)


def columns(side: sa.FromClause) -> tuple[sa.ColumnElement[Any], ...]:
    """What every representation of a conversation is made from, as ``user_id`` of ``side`` sees it.

    Name and picture of the other are ``None`` once that account is gone.
    """
    own = side.c
    return (
        own.conversation_id,
        own.user_id,
        own.other_id,
        own.participant1_id,
        own.participant2_id,
        own.archived,
        own.message_count,
        own.unread_count,
        own.hidden_through,
        own.read_through,
        _other.c.read_through.label("other_read_through"),
        _c.last_message_id,
        _c.last_message_preview,
        _c.timestamp_created,
        _c.timestamp_updated,
        _person.c.state.label("other_state"),
        sa.case((_lives(_person), _person.c.username)).label("other_username"),
        sa.case((_lives(_person), _person.c.profile_picture_url)).label("other_picture_url"),
        _blocks("is_blocked", own.user_id, own.other_id),
        _blocks("blocks_caller", own.other_id, own.user_id),
    )


def with_relations(side: sa.FromClause) -> sa.FromClause:
    """``side`` with what belongs to it: the conversation, the other's side and account."""
    return (
        side.join(table_of(Conversation), _c.conversation_id == side.c.conversation_id)
        .join(_other, sa.and_(_other.c.conversation_id == side.c.conversation_id, _other.c.user_id == side.c.other_id))
        .join(_person, _person.c.user_id == side.c.other_id)
    )


_FIND = Prepared(
    sa.select(*columns(_side))
    .select_from(with_relations(_side))
    .where(
        _side.c.conversation_id == sa.bindparam("conversation_id"),
        _side.c.user_id == sa.bindparam("viewer_id"),
        _side.c.last_message_id > _side.c.hidden_through,
    )
)


def find(db: Reader, conversation_id: int, viewer_id: int) -> Any | None:
    """A conversation as ``viewer_id`` sees it; ``None`` for strangers, and after it was deleted from their view."""
    return _FIND.first(db, {"conversation_id": conversation_id, "viewer_id": viewer_id})


def message_columns(
    viewer: sa.ColumnElement[int], read_by_viewer: sa.ColumnElement[int], read_by_other: sa.ColumnElement[int]
) -> tuple[sa.ColumnElement[Any], ...]:
    """What every representation of a message is made from; the parameters say how far either side has read.

    ``listing_is_open`` tells whether the viewer may open the listing that it is about. Of a message that moderators
    removed nobody reads the content here, and its sender reads why.
    """
    read_through = sa.case((_m.sender_id == viewer, read_by_other), else_=read_by_viewer)
    is_open = sa.or_(_l.is_public, sa.and_(_l.user_id == viewer, _l.deleted_at.is_(None)))
    return (
        _m.message_id,
        _m.conversation_id,
        _m.sender_id,
        _m.receiver_id,
        _m.listing_id,
        _m.timestamp_sent,
        _m.version,
        sa.case((_m.deleted_at.is_(None), _m.content), else_=sa.literal_column(f"'{REMOVED}'")).label("content"),
        _m.deleted_at.is_not(None).label("is_removed"),
        sa.case((_m.sender_id == viewer, _m.moderation_reason)).label("moderation_reason"),
        sa.or_(_m.is_read, _m.message_id <= read_through).label("is_read"),
        sa.func.coalesce(is_open, sa.false()).label("listing_is_open"),
    )


MESSAGES = table_of(Message).outerjoin(table_of(Listing), _l.listing_id == _m.listing_id)

_IS_OTHER = sa.and_(_other.c.conversation_id == _side.c.conversation_id, _other.c.user_id == _side.c.other_id)

_FIND_MESSAGE = Prepared(
    sa.select(
        *message_columns(_side.c.user_id, _side.c.read_through, _other.c.read_through),
        sa.case((_lives(_person), _person.c.username)).label("other_username"),
    )
    .select_from(
        MESSAGES.join(_side, _side.c.conversation_id == _m.conversation_id)
        .join(_other, _IS_OTHER)
        .join(_person, _person.c.user_id == _side.c.other_id)
    )
    .where(
        _m.message_id == sa.bindparam("message_id"),
        _side.c.user_id == sa.bindparam("viewer_id"),
        _m.message_id > _side.c.hidden_through,
    )
)


def find_message(db: Reader, message_id: int, viewer_id: int) -> Any | None:
    """A message as one of the two sees it, with ``other_username``; ``None`` for strangers, and once it was deleted
    from their view."""
    return _FIND_MESSAGE.first(db, {"message_id": message_id, "viewer_id": viewer_id})

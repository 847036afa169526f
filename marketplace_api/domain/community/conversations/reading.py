"""Reading: a person's conversations and the messages of one, newest first.

What either costs depends on the page, not on how much there is: indexes lead to it, and triggers keep the totals.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import sqlalchemy as sa

from marketplace_api.database.base import table_of
from marketplace_api.database.prepared import Prepared, Reader
from marketplace_api.domain.community.conversations import queries
from marketplace_api.domain.kernel.paging import (
    Page,
    PageRequest,
    Position,
    assemble,
    decode_cursor,
    fingerprint,
    offset_of,
)
from marketplace_api.models.community.conversations import ConversationSide, Inbox, Message

_s, _i, _m = table_of(ConversationSide).c, table_of(Inbox).c, table_of(Message).c
_BIGINT = sa.BigInteger()


def conversations(db: Reader, user_id: int, page: PageRequest, *, archived: bool) -> tuple[Page, int]:
    """The archived or the other conversations of a person, as rows of ``queries.columns``, the latest message first.

    The second value is the number of unread messages in all conversations, archived ones too.
    Raises ``Invalid``: ``invalid_cursor``, ``page_too_deep``.
    """
    list_hash = fingerprint("conversations", user_id, archived)
    position = decode_cursor(page.cursor, list_hash, (int,)) if page.cursor else None
    values = {"viewer_id": user_id, "archived": archived, **_place(page, position)}
    statement = _conversations(position is not None, position is not None and position.backward)
    found = statement.all(db, values)
    kept = [row for row in found if row.conversation_id is not None]
    total = (found[0].archived_count if archived else found[0].current_count) or 0
    shown = assemble(kept, page, position, list_hash, lambda row: (row.last_message_id,), total=total)
    return shown, found[0].total_unread or 0


def messages(db: Reader, conversation: Any, page: PageRequest) -> Page:
    """What the person whose side ``conversation`` is (a row of ``queries.columns``) may still see of it, newest first.

    Rows have the columns of ``queries.message_columns``. Raises ``Invalid``: ``invalid_cursor``, ``page_too_deep``.
    """
    list_hash = fingerprint("messages", conversation.user_id, conversation.conversation_id)
    position = decode_cursor(page.cursor, list_hash, (int,)) if page.cursor else None
    values = {
        "viewer_id": conversation.user_id,
        "conversation_id": conversation.conversation_id,
        "hidden_through": conversation.hidden_through,
        "read_by_viewer": conversation.read_through,
        "read_by_other": conversation.other_read_through,
        **_place(page, position),
    }
    statement = _messages(position is not None, position is not None and position.backward)
    found = statement.all(db, values)
    return assemble(found, page, position, list_hash, lambda row: (row.message_id,), total=conversation.message_count)


def _place(page: PageRequest, position: Position | None) -> dict[str, Any]:
    values = {"count": page.limit + 1, "offset": 0 if position else offset_of(page)}
    return values | {"key": position.keys[0]} if position else values


def _number(name: str) -> sa.BindParameter[int]:
    return sa.bindparam(name, type_=_BIGINT)


@lru_cache(maxsize=4)
def _conversations(keyed: bool, backward: bool) -> Prepared:
    key, viewer = _s.last_message_id, _number("viewer_id")
    # The page is chosen before anything is joined to it, so that skipped rows stay cheap.
    chosen = sa.select(table_of(ConversationSide)).where(
        _s.user_id == viewer,
        _s.archived == sa.bindparam("archived", type_=sa.Boolean()),
        _s.last_message_id > _s.hidden_through,
    )
    if keyed:
        chosen = chosen.where(key > _number("key") if backward else key < _number("key"))
    order = key.asc() if backward else key.desc()
    side = chosen.order_by(order).limit(_number("count")).offset(_number("offset")).subquery("side")
    shown = sa.select(*queries.columns(side)).select_from(queries.with_relations(side)).subquery("shown")
    box = (
        sa.select(_i.unread_count.label("total_unread"), _i.current_count, _i.archived_count)
        .where(_i.user_id == viewer)
        .subquery("box")
    )
    always = sa.select(sa.literal_column("1")).subquery("always")
    order = shown.c.last_message_id.asc() if backward else shown.c.last_message_id.desc()
    source = always.outerjoin(box, sa.true()).outerjoin(shown, sa.true())
    return Prepared(sa.select(*box.c, *shown.c).select_from(source).order_by(order))


@lru_cache(maxsize=4)
def _messages(keyed: bool, backward: bool) -> Prepared:
    key = _m.message_id
    columns = queries.message_columns(_number("viewer_id"), _number("read_by_viewer"), _number("read_by_other"))
    statement = (
        sa.select(*columns)
        .select_from(queries.MESSAGES)
        .where(_m.conversation_id == _number("conversation_id"), key > _number("hidden_through"))
    )
    if keyed:
        statement = statement.where(key > _number("key") if backward else key < _number("key"))
    order = key.asc() if backward else key.desc()
    return Prepared(statement.order_by(order).limit(_number("count")).offset(_number("offset")))

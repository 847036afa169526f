"""Blocks: whose messages a person does not want. Nobody is told that they are blocked until they try to write."""

from __future__ import annotations

from datetime import datetime
from functools import lru_cache
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql
from sqlalchemy.orm import Session

from marketplace_api.database.base import table_of
from marketplace_api.database.prepared import Prepared, Reader
from marketplace_api.domain.community.conversations.send import lock_pair
from marketplace_api.domain.identity.accounts import errors
from marketplace_api.domain.identity.accounts.queries import LIVING
from marketplace_api.domain.kernel import paging
from marketplace_api.domain.kernel.actors import Actor
from marketplace_api.domain.kernel.events import EventType, record
from marketplace_api.domain.kernel.paging import Page, PageRequest, assemble, decode_cursor, fingerprint, offset_of
from marketplace_api.errors import Forbidden, NotFound
from marketplace_api.models.community.conversations import Block
from marketplace_api.models.identity.accounts import User

_b, _u = table_of(Block).c, table_of(User).c

_LIVES = sa.or_(*(_u.state == sa.literal_column(f"'{state}'") for state in LIVING))

COLUMNS = (_b.user_id, _b.blocked_id, _b.date_blocked, sa.case((_LIVES, _u.username)).label("username"))
"""What every representation of a block is made from; ``username`` is ``None`` once that account is gone."""

_SOURCE = table_of(Block).join(table_of(User), _u.user_id == _b.blocked_id)
_FIND = Prepared(
    sa.select(*COLUMNS)
    .select_from(_SOURCE)
    .where(_b.user_id == sa.bindparam("owner_id"), _b.blocked_id == sa.bindparam("other_id"))
)


def add(session: Session, actor: Actor, user_id: int) -> tuple[Any, bool]:
    """Let no further message of ``user_id``'s reach the actor; returns the block's row and whether it was there before.

    It waits for a message that is just being sent, and refuses every later one. Raises NotFound, Gone for an erased
    account, and Forbidden ``block_of_oneself``.
    """
    if actor.owns(user_id):
        raise Forbidden("You cannot block yourself.", "block_of_oneself")
    state = session.execute(sa.select(_u.state).where(_u.user_id == user_id)).scalar()
    if state is None:
        raise NotFound("There is no such account.")
    if state == "erased":
        raise errors.gone()
    own_id = actor.user_id or 0
    lock_pair(session, own_id, user_id)
    made = postgresql.insert(Block).values(user_id=own_id, blocked_id=user_id).on_conflict_do_nothing()
    is_new = session.execute(made.returning(Block.blocked_id)).first() is not None
    if is_new:
        record(session, actor, EventType.BLOCK_ADDED, None, new={"user_id": own_id, "blocked_id": user_id})
    return find(session, own_id, user_id), not is_new


def remove(session: Session, actor: Actor, user_id: int) -> None:
    """Take messages of ``user_id``'s again; raises NotFound if they are not blocked."""
    statement = sa.delete(Block).where(Block.user_id == actor.user_id, Block.blocked_id == user_id)
    removed = session.execute(statement.returning(Block.blocked_id), execution_options={"synchronize_session": False})
    if removed.first() is None:
        raise NotFound("You have not blocked this person.")
    record(session, actor, EventType.BLOCK_REMOVED, None, new={"user_id": actor.user_id, "blocked_id": user_id})


def find(db: Reader, owner_id: int, user_id: int) -> Any | None:
    """The block of ``user_id`` by ``owner_id`` with :data:`COLUMNS`, or ``None``."""
    return _FIND.first(db, {"owner_id": owner_id, "other_id": user_id})


def list_page(db: Reader, user_id: int, page: PageRequest) -> Page:
    """Whom a person has blocked, the latest first, as rows of :data:`COLUMNS`.

    Raises ``Invalid``: ``invalid_cursor``, ``page_too_deep``.
    """
    list_hash = fingerprint("blocks", user_id)
    position = decode_cursor(page.cursor, list_hash, (datetime, int)) if page.cursor else None
    values: dict[str, Any] = {
        "owner_id": user_id,
        "count": page.limit + 1,
        "offset": 0 if position else offset_of(page),
    }
    if position:
        values |= {"moment": position.keys[0], "id": position.keys[1]}
    found = db.execute(_page(position is not None, position is not None and position.backward), values).all()
    counted = sa.select(sa.literal_column("1")).where(_b.user_id == user_id).limit(paging.TOTAL_CAP + 1).subquery()
    total = db.execute(sa.select(sa.func.count()).select_from(counted)).scalar_one()
    return assemble(found, page, position, list_hash, lambda row: (row.date_blocked, row.blocked_id), total=total)


@lru_cache(maxsize=4)
def _page(keyed: bool, backward: bool) -> sa.Select[Any]:
    statement = sa.select(*COLUMNS).select_from(_SOURCE).where(_b.user_id == sa.bindparam("owner_id"))
    if keyed:
        place = sa.tuple_(_b.date_blocked, _b.blocked_id)
        here = sa.tuple_(
            sa.bindparam("moment", type_=_b.date_blocked.type), sa.bindparam("id", type_=_b.blocked_id.type)
        )
        statement = statement.where(place > here if backward else place < here)
    order = [column.asc() if backward else column.desc() for column in (_b.date_blocked, _b.blocked_id)]
    number = sa.Integer()
    return (
        statement.order_by(*order)
        .limit(sa.bindparam("count", type_=number))
        .offset(sa.bindparam("offset", type_=number))
    )

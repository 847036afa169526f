"""Who may write to whom: the one place that decides it, for forms that are offered and for messages that are sent.

A block is about what its owner receives: whom I blocked cannot write to me, while I may still write to them.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import sqlalchemy as sa

from marketplace_api.database.prepared import Prepared, Reader
from marketplace_api.domain.catalog.listings import visibility
from marketplace_api.domain.identity.accounts.queries import LIVING
from marketplace_api.domain.kernel.actors import Actor
from marketplace_api.errors import DomainError, Forbidden, Gone, NotFound

_STANDING = Prepared(
    sa.text(
        """
    SELECT person.user_id, person.state,
        EXISTS (
            SELECT FROM blocks WHERE blocks.user_id = person.user_id AND blocks.blocked_id = :caller
        ) AS blocks_caller
    FROM users AS person WHERE person.user_id = ANY(CAST(:user_ids AS bigint[]))
    """
    )
)


def reachable(db: Reader, actor: Actor, user_ids: Collection[int]) -> frozenset[int]:
    """Those of ``user_ids`` that ``actor`` may write to now, in one query."""
    wanted = [user_id for user_id in user_ids if not actor.owns(user_id)]
    if not actor.is_active or not wanted:
        return frozenset()
    found = _STANDING.all(db, {"caller": actor.user_id, "user_ids": wanted})
    return frozenset(row.user_id for row in found if accepts(row.state, blocks_caller=row.blocks_caller))


def accepts(state: str, *, blocks_caller: bool) -> bool:
    """Whether an account in ``state`` gets the caller's messages."""
    return state in LIVING and not blocks_caller


def may_mention(row: Any, actor: Actor) -> bool:
    """Whether a message of ``actor``'s may be about the listing of this row."""
    return visibility.is_visible(row, actor)


def require_reachable(db: Reader, actor: Actor, receiver_id: int, *, is_known: bool) -> None:
    """Raise the reason why ``actor`` cannot write to ``receiver_id``, if there is one.

    Forbidden ``message_to_oneself`` or ``blocked``, Gone ``recipient_gone``, NotFound. ``is_known`` tells that the two
    have a conversation, so that a banned account need not look as if it had never been.
    """
    if actor.owns(receiver_id):
        raise Forbidden("You cannot write to yourself.", "message_to_oneself")
    row = _STANDING.first(db, {"caller": actor.user_id, "user_ids": [receiver_id]})
    if row is None or (row.state == "banned" and not is_known):
        raise NotFound("There is no such account; nothing was sent.")
    if not accepts(row.state, blocks_caller=row.blocks_caller):
        raise _unreachable(row.state)


def _unreachable(state: str) -> DomainError:
    if state not in LIVING:
        return Gone("This account is not there any more; nothing was sent.", "recipient_gone")
    return Forbidden("This person does not take messages from you; nothing was sent.", "blocked")

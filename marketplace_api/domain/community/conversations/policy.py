"""Who may write to whom: the one place that decides it, for forms that are offered and for messages that are sent.

A block is between two: whom I blocked cannot write to me, and I cannot write to them, who could not answer.
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
        ) AS blocks_caller,
        EXISTS (
            SELECT FROM blocks WHERE blocks.user_id = :caller AND blocks.blocked_id = person.user_id
        ) AS is_blocked
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
    return frozenset(row.user_id for row in found if accepts(row))


def accepts(row: Any) -> bool:
    """Whether the account of a row (``state``, ``blocks_caller``, ``is_blocked``: by the caller) gets their messages."""
    return is_open(row.state, blocks_caller=row.blocks_caller, is_blocked=row.is_blocked)


def is_open(state: str, *, blocks_caller: bool, is_blocked: bool) -> bool:
    """Whether there is a way to an account in ``state``, given who of the two has blocked the other."""
    return state in LIVING and not blocks_caller and not is_blocked


def may_mention(row: Any, actor: Actor) -> bool:
    """Whether a message of ``actor``'s may be about the listing of this row."""
    return visibility.is_visible(row, actor)


def require_reachable(db: Reader, actor: Actor, receiver_id: int, *, is_known: bool) -> None:
    """Raise the reason why ``actor`` cannot write to ``receiver_id``, if there is one.

    Forbidden ``message_to_oneself``, ``blocked`` or ``blocked_by_you``, Gone ``recipient_gone``, NotFound. ``is_known`` tells that the two
    have a conversation, so that a banned account need not look as if it had never been.
    """
    if actor.owns(receiver_id):
        raise Forbidden("You cannot write to yourself.", "message_to_oneself")
    row = _STANDING.first(db, {"caller": actor.user_id, "user_ids": [receiver_id]})
    if row is None or (row.state == "banned" and not is_known):
        raise NotFound("There is no such account; nothing was sent.")
    if not accepts(row):
        raise _unreachable(row)


def _unreachable(row: Any) -> DomainError:
    if row.state not in LIVING:
        return Gone("This account is not there any more; nothing was sent.", "recipient_gone")
    if row.is_blocked:
        return Forbidden("You have blocked this person; nothing was sent. Unblock them to write.", "blocked_by_you")
    return Forbidden("This person does not take messages from you; nothing was sent.", "blocked")

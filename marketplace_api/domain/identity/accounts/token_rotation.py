"""One turn of a refresh token: which row it belongs to, whether it may be traded, what takes its place."""

from __future__ import annotations

from datetime import datetime, timedelta

import sqlalchemy as sa
from sqlalchemy.orm import Session

from marketplace_api.domain.identity.accounts import errors, queries, refresh_tokens
from marketplace_api.domain.identity.accounts.config import AccountRules
from marketplace_api.domain.identity.accounts.refresh_tokens import RefreshToken
from marketplace_api.domain.kernel.actors import Actor
from marketplace_api.domain.kernel.events import EventType, record
from marketplace_api.domain.kernel.tokens import hash_opaque
from marketplace_api.errors import Unauthenticated
from marketplace_api.models.identity.accounts import AccountSession, User

GRACE = timedelta(seconds=10)
"""How long the previous token still yields the current one: two tabs, or an answer lost on the way."""

REUSED = "refresh_token_reused"


def rotate(
    session: Session, rules: AccountRules, token: RefreshToken, *, device: str, address: str
) -> tuple[AccountSession, User, str, datetime]:
    """The session's row, its account, the refresh token that counts from now on, and the time by the
    database.

    The row is locked, so two trades of one token happen one after the other. Raises :class:`Unauthenticated`
    with the codes of ``sessions.refresh``.
    """
    found = session.execute(
        sa.select(AccountSession, User, sa.func.now())
        .join(User, User.user_id == AccountSession.user_id)
        .where(AccountSession.session_id == token.session_id)
        .with_for_update(of=AccountSession)
        .execution_options(populate_existing=True)
    ).one_or_none()
    if found is None:
        raise errors.invalid_refresh_token()
    row, user, now = found
    # The stored hash alone decides about the current token, so sessions outlive a change of the secret.
    is_current = hash_opaque(token.text) == row.refresh_hash
    if not is_current and not token.was_made(rules, row.refresh_nonce):
        raise errors.invalid_refresh_token()
    if row.ended_at is not None or row.expires_at <= now or user.state not in queries.LIVING:
        raise errors.session_ended()
    if is_current:
        _turn(row, rules, now, device, address)
    elif token.generation != row.refresh_generation - 1 or now - row.rotated_at > GRACE:
        message = "This refresh token was used before, so the session has been ended. Log in again."
        raise Unauthenticated(message, REUSED)
    current = refresh_tokens.make(rules, row.session_id, row.refresh_generation, row.refresh_nonce)
    row.refresh_hash = hash_opaque(current)
    session.flush()
    return row, user, current, now


def end_stolen(session: Session, session_id: int, actor: Actor) -> None:
    """End a session whose old token came back: either its owner or a thief has the current one, nobody knows who."""
    user_id = session.execute(
        sa.update(AccountSession)
        .where(AccountSession.session_id == session_id, AccountSession.ended_at.is_(None))
        .values(ended_at=sa.func.now(), end_reason="reuse_detected")
        .returning(AccountSession.user_id)
        .execution_options(synchronize_session=False)
    ).scalar()
    if user_id is not None:
        record(session, actor, EventType.SESSION_REUSE_DETECTED, session_id, new={"user_id": user_id})


def _turn(row: AccountSession, rules: AccountRules, now: datetime, device: str, address: str) -> None:
    row.refresh_generation += 1
    row.rotated_at = row.last_used = now
    row.expires_at = now + rules.session_lifetime
    row.device, row.address = device or row.device, address or row.address

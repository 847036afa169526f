"""Forgotten passwords and unconfirmed addresses: what a token sent by e-mail can do.

The token itself is made when the mail is sent (:func:`issue_token`) and stored nowhere but as a hash.
"""

from __future__ import annotations

from datetime import datetime, timedelta

import sqlalchemy as sa
from sqlalchemy.orm import Session

from marketplace_api.domain.identity import passwords
from marketplace_api.domain.identity.accounts import errors, login_throttle, one_time_tokens, queries, sessions
from marketplace_api.domain.identity.accounts.config import AccountRules
from marketplace_api.domain.kernel.actors import Actor
from marketplace_api.domain.kernel.events import EventType, record
from marketplace_api.domain.kernel.tokens import hash_opaque, new_opaque
from marketplace_api.errors import Conflict
from marketplace_api.models.identity.accounts import OneTimeToken, User
from marketplace_api.models.kernel.events import Event

RESET_PASSWORD = "reset_password"
CONFIRM_EMAIL = "confirm_email"
MAIL_INTERVAL = timedelta(minutes=1)
"""An account is sent one mail of a kind in this time; asking more often is silently ignored."""

_u = User.__table__.c
_e = Event.__table__.c

RECOVERABLE = queries.RECOVERABLE

_FIND_RECOVERABLE = (
    sa.select(_u.user_id)
    .where(sa.func.lower(_u.email) == sa.func.lower(sa.bindparam("email", type_=sa.String)))
    .where(_u.state.in_(RECOVERABLE))
    .with_for_update(key_share=True)
)
_ASKED_RECENTLY = sa.select(
    sa.exists(
        sa.select(1).where(
            _e.subject_type == "user",
            _e.subject_id == sa.bindparam("user_id", type_=sa.BigInteger),
            _e.type == sa.bindparam("type", type_=sa.String),
            _e.date_created > sa.func.now() - MAIL_INTERVAL,
        )
    )
)


def request_password_reset(session: Session, *, email: str, actor: Actor) -> None:
    """Have a reset mail sent to the account with this address, if there is one: nobody learns whether there
    is.

    Known, unknown and impatient callers cost the same statements; only what may not last is taken back.
    """
    user_id = session.execute(_FIND_RECOVERABLE, {"email": email}).scalar()
    asked = {"user_id": user_id or 0, "type": EventType.USER_PASSWORD_RESET_REQUESTED.value}
    recently = session.execute(_ASKED_RECENTLY, asked).scalar_one()
    with session.begin_nested() as savepoint:
        record(session, actor, EventType.USER_PASSWORD_RESET_REQUESTED, user_id)
        if user_id is None or recently:
            savepoint.rollback()


def send_password_reset(session: Session, actor: Actor, user_id: int) -> None:
    """Have a reset mail sent to an account for its owner, who could not ask for it.

    Raises :class:`NotFound`, :class:`Conflict` ``wrong_state`` for an account that nobody may log in to, :class:`Gone`
    for an erased one, and :class:`Conflict` when a mail was asked for within the last minute.
    """
    user, _ = queries.lock_user(session, user_id)
    if user.state == "erased":
        raise errors.gone()
    if user.state not in RECOVERABLE:
        raise errors.wrong_state(user.state, " or ".join(RECOVERABLE))
    asked = {"user_id": user_id, "type": EventType.USER_PASSWORD_RESET_REQUESTED.value}
    if session.execute(_ASKED_RECENTLY, asked).scalar_one():
        raise Conflict("A reset mail was asked for less than a minute ago; wait for it.")
    record(session, actor, EventType.USER_PASSWORD_RESET_REQUESTED, user_id)


def reset_password(session: Session, rules: AccountRules, *, token: str, new_password: str, actor: Actor) -> User:
    """Set the password of whoever the token was mailed to and end all their sessions.

    Works once within the token's time: of two at the same moment exactly one wins. Raises :class:`Invalid`
    ``invalid_token`` or ``weak_password`` (field ``newPassword``; the token stays good).
    """
    user, found, now = one_time_tokens.redeem(session, token, RESET_PASSWORD)
    if user.email is None or found.email.lower() != user.email.lower():
        raise errors.invalid_token()
    errors.require_strong(new_password, username=user.username, email=user.email, field="newPassword")
    set_password(session, user, passwords.hash_password(new_password, rules.bcrypt_cost), now)
    owner = Actor(user_id=user.user_id, request_id=actor.request_id)
    sessions.end_all(session, user.user_id, "password_reset", actor=owner)
    login_throttle.forget(session, rules, user.email)
    record(session, owner, EventType.USER_PASSWORD_CHANGED, user.user_id, new={"by": RESET_PASSWORD})
    return user


def request_email_confirmation(session: Session, actor: Actor) -> None:
    """Have the confirmation mail sent to the caller again, at most once a minute.

    Raises :class:`Conflict` when nothing waits for confirmation.
    """
    user, _ = queries.lock_user(session, actor.user_id or 0)
    if user.pending_email is None and user.email_confirmed_at is not None and user.email_bounced_at is None:
        raise Conflict("Your e-mail address is confirmed already.")
    asked = {"user_id": user.user_id, "type": EventType.USER_EMAIL_CONFIRMATION_REQUESTED.value}
    if not session.execute(_ASKED_RECENTLY, asked).scalar_one():
        record(session, actor, EventType.USER_EMAIL_CONFIRMATION_REQUESTED, user.user_id)


def confirm_email(session: Session, rules: AccountRules, *, token: str, actor: Actor) -> User:
    """Take the address that the token was mailed to as confirmed; a pending one becomes the account's.

    The former one, if it was confirmed, is told and can undo that for some days: of others nobody knows whose they are.

    Raises :class:`Invalid` ``invalid_token``, and :class:`Conflict` ``already_taken`` when another account
    has the address by now.
    """
    user, found, now = one_time_tokens.redeem(session, token, CONFIRM_EMAIL)
    former = user.email if user.email_confirmed_at is not None else None
    changed = user.pending_email is not None and found.email == user.pending_email
    if changed:
        queries.require_free(session, username=None, email=found.email, user_id=user.user_id)
        with queries.keeping_unique(session, username=None, email=found.email, user_id=user.user_id):
            user.email, user.pending_email = found.email, None
        # Mails to the former address lead nowhere from here on.
        one_time_tokens.forget(session, user.user_id, RESET_PASSWORD)
    elif found.email != user.email:
        raise errors.invalid_token()
    user.email_confirmed_at = user.date_updated = now
    user.email_bounced_at = None
    user.version += 1
    session.flush()
    owner = Actor(user_id=user.user_id, request_id=actor.request_id)
    event = record(session, owner, EventType.USER_EMAIL_CONFIRMED, user.user_id, new={"changed": changed})
    if changed and former is not None:
        one_time_tokens.offer_undo(session, rules, event, former, now)
    return user


def issue_token(session: Session, user_id: int, purpose: str, email: str, now: datetime, lifetime: timedelta) -> str:
    """A new one-time token for the mail to ``email``; the account's older ones of this purpose are void.

    ``purpose`` is :data:`RESET_PASSWORD` (an hour is long enough) or :data:`CONFIRM_EMAIL`; the token is good
    from ``now`` (aware) for ``lifetime``. Raises :class:`NotFound`.
    """
    queries.lock_user(session, user_id)
    one_time_tokens.forget(session, user_id, purpose)
    token = new_opaque()
    row = OneTimeToken(user_id=user_id, purpose=purpose, email=email, expires_at=now + lifetime)
    row.token_hash = hash_opaque(token)
    session.add(row)
    session.flush()
    return token


def set_password(session: Session, user: User, hashed: str | None, now: datetime) -> None:
    """Store a new password's hash on the locked account, ``None`` for no password, and void what was under way before.

    A change of e-mail that somebody else began must not outlive the password they knew (A. Sudhodanan and A.
    Paverd, "Pre-hijacked accounts", USENIX Security 2022).
    """
    user.password_hash, user.pending_email, user.date_updated = hashed, None, now
    user.version += 1
    session.flush()
    one_time_tokens.forget(session, user.user_id, RESET_PASSWORD)
    one_time_tokens.forget(session, user.user_id, CONFIRM_EMAIL)

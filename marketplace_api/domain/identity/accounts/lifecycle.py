"""The states of an account: deactivated and erased by its owner, suspended and banned by moderators; its roles."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import replace
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session

from marketplace_api.database import row_security
from marketplace_api.database.engines import Databases
from marketplace_api.domain.identity.accounts import admins, errors, profiles, queries, registration, sessions
from marketplace_api.domain.identity.accounts.config import AccountRules
from marketplace_api.domain.kernel.actors import Actor
from marketplace_api.domain.kernel.events import EventType, record
from marketplace_api.errors import DomainError, FieldError, Forbidden, Invalid, NotFound, PreconditionFailed
from marketplace_api.models.identity.accounts import User

_EVENTS = {
    "suspended": EventType.USER_SUSPENDED,
    "banned": EventType.USER_BANNED,
    "deactivated": EventType.USER_DEACTIVATED,
}
_RANKS = {"moderator": 1, "staff": 2, "admin": 3}
_UNJUDGED = {
    "suspend": queries.LIVING,
    "reinstate": ("suspended", "banned"),
    "ban": (*queries.LIVING, "deactivated"),
    "set-roles": (*queries.LIVING, "deactivated", "banned"),
}
"""The states in which an account can be judged so."""


def rank(roles: Collection[str]) -> int:
    """How much power these roles give: 0 none, 1 a moderator's, 2 staff's, 3 an admin's."""
    return max((_RANKS.get(role, 0) for role in roles), default=0)


def possible(state: str, step: str) -> bool:
    """Whether an account in ``state`` can be judged so: ``suspend``, ``reinstate``, ``ban`` or ``set-roles``."""
    return state in _UNJUDGED[step]


def find(session: Session, reference: str) -> User:
    """The account that a person means by an id, a user name or an e-mail address; raises :class:`NotFound`."""
    wanted = reference.strip()
    if wanted.isascii() and wanted.isdigit() and (user := session.get(User, int(wanted[:18]))) is not None:
        return user
    column = User.email if "@" in wanted else User.username
    user = session.execute(sa.select(User).where(sa.func.lower(column) == sa.func.lower(wanted))).scalar_one_or_none()
    if user is None:
        raise NotFound(f"There is no account {reference!r}.")
    return user


def deactivate(session: Session, databases: Databases, actor: Actor, rules: AccountRules, *, password: str) -> datetime:
    """Take the caller's account out of sight: sessions end, listings are hidden. Logging in again undoes it.

    Returns when the personal data will be erased (UTC). Raises :class:`Invalid` ``wrong_password``,
    :class:`RateLimited` after too many, :class:`Forbidden` ``account_suspended``: a suspension is not left
    this way; :class:`Conflict` ``last_admin``.
    """
    proved = profiles.prove_password(databases, actor, rules, password, field="password")
    admins.take_turns(session, [proved.user_id])
    user, now = queries.lock_user(session, proved.user_id)
    if user.state == "suspended" and (user.suspended_until is None or user.suspended_until > now):
        raise errors.suspended(user.state_reason, user.suspended_until)
    if user.state not in queries.LIVING or user.password_hash != proved.password_hash:
        raise errors.session_ended()
    admins.require_another(session, user)
    user.deactivated_at = now
    _enter(session, user, "deactivated", now)
    sessions.end_all(session, user.user_id, "deactivated", actor=actor)
    queries.hide_belongings(session, user.user_id, hidden=True)
    erased_at = now + rules.erase_after
    record(session, actor, EventType.USER_DEACTIVATED, user.user_id, new={"erased_at": erased_at.isoformat()})
    return erased_at


def set_roles(
    session: Session,
    actor: Actor,
    user_id: int,
    roles: Iterable[str],
    *,
    expected_version: int | None = None,
    also_last_admin: bool = False,
) -> User:
    """Give an account these roles (``customer`` always among them); its sessions end, so that it acts at
    once.

    Raises :class:`Invalid` for unknown roles, :class:`Forbidden` for who is no admin and for one's own account, :class:`Gone`, :class:`PreconditionFailed`, and :class:`Conflict` ``last_admin`` unless ``also_last_admin``.
    """
    granted = registration.complete_roles(roles)
    registration.require_giver(actor)
    user, now = _moderated(session, actor, user_id, "set-roles", expected_version)
    previous = list(user.roles)
    if set(previous) == set(granted):
        return user
    if "admin" not in granted and not also_last_admin:
        admins.require_another(session, user)
    user.roles = granted
    _enter(session, user, user.state, now)
    with row_security.elevated(session):
        sessions.end_all(session, user_id, "roles_changed", actor=actor)
    old, new = {"roles": previous}, {"roles": granted}
    record(session, actor, EventType.USER_ROLES_CHANGED, user_id, previous=old, new=new)
    return user


def suspend(
    session: Session,
    actor: Actor,
    user_id: int,
    *,
    reason: str,
    until: datetime | None = None,
    expected_version: int | None = None,
    also_last_admin: bool = False,
) -> User:
    """Let an account only read and appeal, ``until`` a time (aware) or until further notice; sessions stay.

    Raises :class:`Invalid` for a time that has passed, :class:`Conflict` ``wrong_state`` unless the account
    is active or suspended, ``last_admin`` unless ``also_last_admin``, :class:`Forbidden` for one's own account or one of the same rank,
    :class:`PreconditionFailed` when its version is not the expected one.
    """
    user, now = _moderated(session, actor, user_id, "suspend", expected_version)
    if until is not None and until <= now:
        message = "This must lie in the future."
        raise Invalid(message, errors=[FieldError("body", "until", "in_the_past", message)])
    if not also_last_admin:
        admins.require_another(session, user)
    kind = EventType.USER_SUSPENDED
    return _judge(session, actor, user, kind, state="suspended", reason=reason, now=now, until=until)


def reinstate(
    session: Session,
    actor: Actor,
    user_id: int,
    *,
    reason: str,
    until: datetime | None = None,
    expected_version: int | None = None,
) -> User:
    """Lift a suspension or ban at once (``until`` means nothing here); raises as :func:`suspend` does."""
    del until
    user, now = _moderated(session, actor, user_id, "reinstate", expected_version)
    queries.hide_belongings(session, user_id, hidden=False)
    return _judge(session, actor, user, EventType.USER_REINSTATED, state="active", reason=reason, now=now)


def ban(
    session: Session,
    actor: Actor,
    user_id: int,
    *,
    reason: str,
    until: datetime | None = None,
    expected_version: int | None = None,
    also_last_admin: bool = False,
) -> User:
    """Shut an account out for good (``until`` means nothing here): sessions end, listings are hidden. Raises as
    :func:`suspend` does."""
    del until
    user, now = _moderated(session, actor, user_id, "ban", expected_version)
    if not also_last_admin:
        admins.require_another(session, user)
    with row_security.elevated(session):
        sessions.end_all(session, user_id, "banned", actor=actor)
    queries.hide_belongings(session, user_id, hidden=True)
    return _judge(session, actor, user, EventType.USER_BANNED, state="banned", reason=reason, now=now)


def log_out(session: Session, actor: Actor, user_id: int, session_id: int | None = None) -> int:
    """End all sessions of another's account, or the one with this id; returns how many ended.

    Raises :class:`NotFound` when there is no such session, :class:`Forbidden` as :func:`suspend` does.
    """
    user, _ = queries.lock_user(session, user_id)
    require_power(actor, user)
    if session_id is None:
        return sessions.end_all(session, user_id, "ended_by_operator", actor=actor)
    sessions.end_one(session, user_id, session_id, "ended_by_operator", actor=actor)
    return 1


def revert(
    session: Session, actor: Actor, user: User, *, state: str, reason: str | None, until: datetime | None
) -> None:
    """Undo a suspension, a ban or their lifting of the locked ``user``: into ``state``, for ``reason``, ``until``.

    Listings are shown or hidden with it. Raises :class:`Forbidden` and :class:`Conflict` as :func:`suspend` does.
    """
    require_power(actor, user)
    if state != "active":
        admins.require_another(session, user)
    now = queries.lock_user(session, user.user_id)[1]
    previous = _event_data(user)
    queries.hide_belongings(session, user.user_id, hidden=state in ("banned", "deactivated"))
    user.state_reason, user.suspended_until = reason, until
    user.deactivated_at = now if state == "deactivated" else None
    _enter(session, user, state, now)
    type = _EVENTS.get(state, EventType.USER_REINSTATED)
    record(session, actor, type, user.user_id, previous=previous, new={**_event_data(user), "undone": True})


def _moderated(
    session: Session, actor: Actor, user_id: int, step: str, expected_version: int | None
) -> tuple[User, datetime]:
    if step != "reinstate":
        admins.take_turns(session, [user_id])
    user, now = queries.lock_user(session, user_id)
    if user.state == "erased":
        raise errors.gone()
    require_power(actor, user)
    if expected_version is not None and user.version != expected_version:
        raise PreconditionFailed("It changed since you read it; `current` shows what it is now.")
    if not possible(user.state, step):
        raise impossible(user.state, step)
    return user, now


def refused(actor: Actor, account: Any, step: str) -> DomainError | None:
    """Why ``actor`` cannot judge the ``account`` so (its ``user_id``, ``state`` and ``roles`` tell); ``None`` if they can."""
    if account.state == "erased":
        return errors.gone()
    return _powerless(actor, account) or (None if possible(account.state, step) else impossible(account.state, step))


def impossible(state: str, step: str) -> DomainError:
    """Why an account in ``state`` cannot be judged so."""
    return errors.gone() if state == "erased" else errors.wrong_state(state, " or ".join(_UNJUDGED[step]))


def _judge(
    session: Session,
    actor: Actor,
    user: User,
    type: EventType,
    *,
    state: str,
    reason: str,
    now: datetime,
    until: datetime | None = None,
) -> User:
    previous = _event_data(user)
    user.state_reason = reason if state != "active" else None
    user.suspended_until, user.deactivated_at = until, None
    _enter(session, user, state, now)
    record(session, replace(actor, reason=reason), type, user.user_id, previous=previous, new=_event_data(user))
    return user


def _event_data(user: User) -> dict[str, Any]:
    """What the log tells of an account's state: of a suspension its end as well, ``None`` for until further notice."""
    if user.state != "suspended":
        return {"state": user.state}
    return {"state": user.state, "until": user.suspended_until and user.suspended_until.isoformat()}


def _enter(session: Session, user: User, state: str, now: datetime) -> None:
    user.state, user.date_updated = state, now
    user.version += 1
    session.flush()


def require_power(actor: Actor, user: User) -> None:
    """Raises Forbidden for one's own account, and for one of the same rank or above unless an admin asks."""
    refusal = _powerless(actor, user)
    if refusal is not None:
        raise refusal


def _powerless(actor: Actor, account: Any) -> Forbidden | None:
    """Nobody judges themselves, nor anyone of their own rank or above; admins judge all others."""
    if actor.owns(account.user_id):
        return Forbidden("You cannot do this to your own account.")
    if actor.administers or rank(actor.roles) > rank(account.roles):
        return None
    return Forbidden("This account has as much power as yours.")

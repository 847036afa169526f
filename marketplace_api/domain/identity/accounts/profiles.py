"""Profiles: reading and editing them, changing the password."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql
from sqlalchemy.orm import Session

from marketplace_api.database.engines import Databases
from marketplace_api.database.prepared import Reader
from marketplace_api.domain.identity import passwords
from marketplace_api.domain.identity.accounts import (
    errors,
    known_devices,
    login_throttle,
    pictures,
    queries,
    recovery,
    reserved_usernames,
    sessions,
)
from marketplace_api.domain.identity.accounts.columns import OWN_COLUMNS, PUBLIC_COLUMNS
from marketplace_api.domain.identity.accounts.config import AccountRules
from marketplace_api.domain.kernel.actors import Actor
from marketplace_api.domain.kernel.events import EventType, record
from marketplace_api.errors import Conflict, NotFound, PreconditionFailed, Unauthenticated
from marketplace_api.models.identity.accounts import User

_u = User.__table__.c

EDITABLE = ("username", "email", "profile_picture_url", "bio", "contact_information")

_FIND_PUBLIC = sa.select(*PUBLIC_COLUMNS).where(_u.user_id == sa.bindparam("user_id"))
_FIND_MANY_PUBLIC = sa.select(*PUBLIC_COLUMNS).where(
    _u.user_id == sa.any_(sa.bindparam("user_ids", type_=postgresql.ARRAY(sa.BigInteger))), _u.state.in_(queries.LIVING)
)
_FIND_OWN = sa.select(*OWN_COLUMNS).where(_u.user_id == sa.bindparam("user_id"))


def find_public(db: Reader, user_id: int) -> Any | None:
    """The row of an account with :data:`PUBLIC_COLUMNS`, or ``None``.

    Raises :class:`Gone` for a deactivated or erased account and :class:`NotFound` for a banned one.
    """
    row = db.execute(_FIND_PUBLIC, {"user_id": user_id}).first()
    if row is not None and row.state not in queries.LIVING:
        raise _hidden(row.state)
    return row


def find_many_public(db: Reader, user_ids: Collection[int]) -> Sequence[Any]:
    """The rows of these accounts with :data:`PUBLIC_COLUMNS`, in one query; those that are gone are left out."""
    return db.execute(_FIND_MANY_PUBLIC, {"user_ids": sorted(user_ids)}).all() if user_ids else ()


def find_own(db: Reader, user_id: int | None) -> Any:
    """The row of an account with :data:`OWN_COLUMNS`, in whatever state; raises :class:`NotFound`."""
    row = db.execute(_FIND_OWN, {"user_id": user_id}).first()
    if row is None:
        raise NotFound("There is no such account.")
    return row


def edit_own(
    session: Session,
    databases: Databases,
    actor: Actor,
    rules: AccountRules,
    *,
    changes: Mapping[str, Any],
    current_password: str | None = None,
    expected_version: int | None = None,
    merge: bool = False,
) -> User:
    """What :func:`edit` does, for the caller's own account: another e-mail address takes the ``current_password``.

    Whoever has an access token alone does not get the account by it. Raises as :func:`edit`, :class:`Invalid` with
    ``required`` or ``wrong_password`` for ``currentPassword`` or ``reserved`` for ``username``, :class:`RateLimited` after
    too many wrong passwords, :class:`Conflict` when the password was changed at the same moment.
    """
    present = None
    if "username" in changes or "email" in changes:  # else no second connection is needed
        with databases.separately() as short:
            columns = (_u.username, _u.email, _u.pending_email)
            present = short.execute(sa.select(*columns).where(_u.user_id == actor.user_id)).one_or_none()
    username = changes.get("username")
    if present is not None and username is not None and username != present.username:
        reserved_usernames.require_free(rules.reserved_usernames, username)
    proved = None
    if present is not None and changes.get("email", present.email) not in (present.email, present.pending_email):
        if current_password is None:
            raise errors.password_needed("currentPassword")
        proved = prove_password(databases, actor, rules, current_password, field="currentPassword")
    return edit(
        session,
        actor,
        actor.user_id or 0,
        changes=changes,
        expected_version=expected_version,
        merge=merge,
        proved_hash=proved and proved.password_hash,
    )


def edit(
    session: Session,
    actor: Actor,
    user_id: int,
    *,
    changes: Mapping[str, Any],
    expected_version: int | None = None,
    merge: bool = False,
    proved_hash: str | None = None,
) -> User:
    """Change what ``changes`` names among :data:`EDITABLE`; only what differs counts as a change.

    A new ``email`` waits in ``pending_email`` until its token comes back. Whether somebody has that address
    is never told here: only who reads its mail finds out, at the confirmation. ``merge`` keeps the parts of
    ``contact_information`` that are not named (RFC 7396); either way those that are null go. The event names
    the changed fields without their values, for the log is never erased and a person's data must be. Of an owner
    ``proved_hash`` is that of the password which they were asked for before their address may change.

    Raises :class:`PreconditionFailed` when ``expected_version`` is not the present one, :class:`Conflict`
    ``already_taken`` for a user name, :class:`Gone` or :class:`NotFound` for an account that is no more.
    """
    unknown = set(changes).difference(EDITABLE)
    if unknown:
        raise ValueError(f"not editable: {sorted(unknown)}")
    user, now = queries.lock_user(session, user_id)
    if user.state not in queries.LIVING:
        raise _hidden(user.state)
    if expected_version is not None and user.version != expected_version:
        raise PreconditionFailed("The profile has changed since you read it.", extra={"version": user.version})
    plain = _plain_changes(user, changes, merge=merge)
    asks_for_email = _note_email(user, changes["email"]) if "email" in changes else False
    if asks_for_email and actor.owns(user_id) and (proved_hash is None or proved_hash != user.password_hash):
        raise Conflict("The e-mail address or the password was changed at the same moment.")
    if not plain and not session.is_modified(user):
        return user
    if "profile_picture_url" in plain:
        pictures.release(session, user_id)
    if "username" in plain:
        queries.require_free(session, username=plain["username"], email=None, user_id=user_id)
    with queries.keeping_unique(session, username=plain.get("username"), email=None, user_id=user_id):
        for name, value in plain.items():
            setattr(user, name, value)
        user.version += 1
        user.date_updated = now
    if plain:
        record(session, actor, EventType.USER_EDITED, user_id, new={"fields": sorted(plain)})
    if asks_for_email:
        record(session, actor, EventType.USER_EMAIL_CHANGE_REQUESTED, user_id)
    return user


def change_password(
    session: Session,
    databases: Databases,
    actor: Actor,
    rules: AccountRules,
    *,
    current_password: str,
    new_password: str,
) -> None:
    """Give the caller another password and end their other sessions.

    A pending change of e-mail dies too: whoever knew the old password may have asked for it. Raises
    :class:`Invalid` ``weak_password`` (field ``newPassword``) or ``wrong_password`` (``currentPassword``),
    :class:`RateLimited` after too many wrong ones, :class:`Conflict` when the password was changed at the
    same moment.
    """
    proved = prove_password(
        databases, actor, rules, current_password, field="currentPassword", new_password=new_password
    )
    hashed = passwords.hash_password(new_password, rules.bcrypt_cost)
    user, now = queries.lock_user(session, proved.user_id)
    if user.password_hash != proved.password_hash:
        raise Conflict("The password was changed at the same moment.")
    recovery.set_password(session, user, hashed, now)
    sessions.end_all(session, user.user_id, "password_changed", except_session=actor.session_id, actor=actor)
    login_throttle.forget(session, rules, proved.email)
    record(session, actor, EventType.USER_PASSWORD_CHANGED, user.user_id)


def prove_password(
    databases: Databases,
    actor: Actor,
    rules: AccountRules,
    password: str,
    *,
    field: str,
    new_password: str | None = None,
) -> Any:
    """The row (``user_id``, ``username``, ``email``, ``password_hash``) of the caller, who knows their
    password.

    Raises :class:`Invalid` ``wrong_password`` for ``field`` and counts the failure as one of the session's device, like
    one at log-in, :class:`RateLimited` after too many; also ``weak_password`` where a ``new_password`` is given, before the old one is looked at.
    """
    with databases.separately() as short:
        columns = (_u.user_id, _u.username, _u.email, _u.password_hash)
        row = short.execute(sa.select(*columns).where(_u.user_id == actor.user_id)).one_or_none()
        if row is None or row.email is None:
            raise Unauthenticated("Log in first.")
        if new_password is not None:
            errors.require_strong(new_password, username=row.username, email=row.email, field="newPassword")
        known = login_throttle.Known(device=known_devices.session_name(actor.session_id))
        attempt = login_throttle.Attempt(rules, row.email, password=password, known=known)
        is_counted = login_throttle.admit(short, attempt)
    if not passwords.matches(password, row.password_hash, rules.bcrypt_cost):
        with databases.separately() as short:
            login_throttle.count_failure(short, attempt)
        raise errors.wrong_password(field)
    if is_counted:
        with databases.separately() as short:
            login_throttle.clear(short, attempt)
    return row


def _plain_changes(user: User, changes: Mapping[str, Any], *, merge: bool) -> dict[str, Any]:
    """What differs from the account, but for the e-mail address, which has its own way."""
    wanted = {name: value for name, value in changes.items() if name != "email"}
    if "contact_information" in wanted:
        wanted["contact_information"] = _contact(user, wanted["contact_information"], merge=merge)
    return {name: value for name, value in wanted.items() if getattr(user, name) != value}


def _contact(user: User, given: Mapping[str, Any] | None, *, merge: bool) -> dict[str, Any]:
    parts = {**user.contact_information, **(given or {})} if merge and given is not None else dict(given or {})
    return {name: value for name, value in parts.items() if value is not None}


def _note_email(user: User, email: str) -> bool:
    """Note the address that the owner wants; returns whether it has to be confirmed."""
    if email == user.email:  # as it was: the pending change is off
        user.pending_email = None
        return False
    if email == user.pending_email:
        return False
    user.pending_email = email
    return True


def _hidden(state: str) -> Exception:
    return NotFound("There is no such account.") if state == "banned" else errors.gone()

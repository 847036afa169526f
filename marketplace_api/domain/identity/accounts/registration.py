"""Making accounts: people register, operators create."""

from __future__ import annotations

from collections.abc import Iterable

from sqlalchemy.orm import Session

from marketplace_api.database import row_security
from marketplace_api.database.engines import Databases, now_of
from marketplace_api.domain.identity import passwords
from marketplace_api.domain.identity.accounts import errors, queries, reserved_usernames, sessions
from marketplace_api.domain.identity.accounts.config import AccountRules
from marketplace_api.domain.identity.accounts.sessions import TokenPair
from marketplace_api.domain.kernel.actors import Actor
from marketplace_api.domain.kernel.events import EventType, record
from marketplace_api.domain.kernel.tokens import SigningKeys
from marketplace_api.errors import FieldError, Forbidden, Invalid
from marketplace_api.models.identity.accounts import ROLES, User


def register(
    session: Session,
    databases: Databases,
    keys: SigningKeys,
    rules: AccountRules,
    *,
    username: str,
    email: str,
    password: str,
    device: str,
    address: str,
    actor: Actor,
) -> TokenPair:
    """Make an account and begin its first session.

    Raises :class:`Invalid` ``weak_password`` and for a reserved user name, and :class:`Conflict` ``already_taken`` naming every taken
    field, also where two register at the same moment. The confirmation mail follows from the event.
    """
    reserved_usernames.require_free(rules.reserved_usernames, username)
    errors.require_strong(password, username=username, email=email)
    # Asked before the password is hashed, on a connection that is not held meanwhile.
    with databases.separately() as short:
        queries.require_free(short, username=username, email=email)
    hashed = passwords.hash_password(password, rules.bcrypt_cost)
    user = _insert(session, username, email, hashed, ["customer"], confirmed=False)
    row_security.act_for(session, user.user_id)
    now = now_of(session)
    pair = sessions.begin(session, keys, rules, user, device=device, address=address, now=now)
    newcomer = Actor(user_id=user.user_id, request_id=actor.request_id)
    record(session, newcomer, EventType.USER_REGISTERED, user.user_id, new={"session_id": pair.session_id})
    return pair


def require_giver(actor: Actor) -> None:
    """Raises :class:`Forbidden` for who may not say which roles somebody has."""
    if not actor.administers:
        raise Forbidden("Only admins give and take roles.")


def create_account(
    session: Session,
    rules: AccountRules,
    *,
    username: str,
    email: str,
    password: str | None,
    roles: Iterable[str],
    actor: Actor,
    confirmed: bool = False,
    imported: bool = False,
) -> User:
    """Make an account for someone: by an operator or an import.

    Without a ``password`` nobody can log in until they have reset it by mail. ``confirmed`` says that the
    address is known to be theirs, ``imported`` that they asked for nothing and shall get no mail. Raises :class:`Invalid` (``weak_password``, an unknown role),
    :class:`Forbidden` for who is no admin and gives more than the role that everybody has, and :class:`Conflict`
    ``already_taken``.
    """
    granted = complete_roles(roles)
    if granted != ["customer"]:
        require_giver(actor)
    hashed = None
    if password is not None:
        errors.require_strong(password, username=username, email=email)
        hashed = passwords.hash_password(password, rules.bcrypt_cost)
    user = _insert(session, username, email, hashed, granted, confirmed=confirmed)
    record(
        session,
        actor,
        EventType.USER_REGISTERED,
        user.user_id,
        new={"roles": granted, **({"imported": True} if imported else {})},
    )
    return user


def complete_roles(roles: Iterable[str]) -> list[str]:
    """The roles in their usual order, with ``customer``, which everyone is; raises :class:`Invalid` for others."""
    given = {"customer", *roles}
    unknown = sorted(given.difference(ROLES))
    if unknown:
        message = f"Choose among {', '.join(ROLES)}."
        raise Invalid("There is no such role.", errors=[FieldError("body", "roles", "unknown_role", message)])
    return [role for role in ROLES if role in given]


def _insert(
    session: Session, username: str, email: str, hashed: str | None, roles: list[str], *, confirmed: bool
) -> User:
    queries.require_free(session, username=username, email=email)
    now = now_of(session)
    user = User(
        username=username, email=email, password_hash=hashed, roles=roles, email_confirmed_at=now if confirmed else None
    )
    with queries.keeping_unique(session, username=username, email=email):
        session.add(user)
    return user

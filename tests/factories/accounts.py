"""Accounts for tests, and callers logged in to them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session

from marketplace_api.domain.identity.accounts import email_undo, one_time_tokens
from marketplace_api.domain.identity.accounts.config import AccountRules
from marketplace_api.domain.identity.passwords import hash_password
from marketplace_api.domain.kernel.actors import operator
from marketplace_api.domain.kernel.events import EventType, record
from marketplace_api.models.identity.accounts import AccountSession, User
from tests.support.client import Client

PASSWORD = "correct horse battery"
_HASH = hash_password(PASSWORD, 4)
_numbers = count(1)


def make_user(session: Session, **values: Any) -> User:
    """An active, confirmed customer whose password is :data:`PASSWORD`."""
    number = next(_numbers)
    roles = ["customer", *values.pop("roles", [])]
    fields = {
        "username": f"person{number}",
        "email": f"person{number}@people.example",
        "password_hash": _HASH,
        "roles": roles,
        "email_confirmed_at": datetime.now(UTC),
        **values,
    }
    user = User(**fields)
    session.add(user)
    session.flush()
    return user


def open_session(session: Session, user: User) -> AccountSession:
    """A session of ``user`` that lasts a day."""
    opened = AccountSession(
        user_id=user.user_id,
        refresh_hash=f"test-{next(_numbers)}".encode(),
        refresh_nonce=b"0" * 16,
        expires_at=datetime.now(UTC) + timedelta(days=1),
    )
    session.add(opened)
    session.flush()
    return opened


class People:
    """Makes callers of every kind against one application."""

    def __init__(self, session: Session, app: Any) -> None:
        self.session = session
        self.app = app

    def caller(self, **values: Any) -> Client:
        """A caller logged in to a new account."""
        return self.client_for(make_user(self.session, **values))

    def client_for(self, user: User) -> Client:
        opened = open_session(self.session, user)
        self.session.commit()
        token = self.app.registry.signing_keys.sign(user.user_id, opened.session_id, datetime.now(UTC))
        return Client(self.app, token, user)

    def customer(self) -> Client:
        return self.caller()

    def moderator(self) -> Client:
        return self.caller(roles=["moderator"])

    def admin(self) -> Client:
        return self.caller(roles=["admin"])

    def suspended(self) -> Client:
        return self.caller(state="suspended", state_reason="Because.")

    def anonymous(self) -> Client:
        return Client(self.app)


def make_undo_token(session: Session, rules: AccountRules, user: User) -> str:
    """A token that gives ``user`` a former address back, as the mail to that address carries it."""
    now = session.execute(sa.select(sa.func.now())).scalar_one()
    event = record(session, operator("test"), EventType.USER_EMAIL_CONFIRMED, user.user_id)
    one_time_tokens.offer_undo(session, rules, event, "former@people.example", now)
    issued = email_undo.issue_token(session, event.event_id)
    assert issued is not None
    return issued.token

"""What the tests of the accounts domain share: rules, keys, shorthands, and transactions that run at once."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from threading import Barrier
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.orm import Session

from marketplace_api.config.reserved_usernames import RESERVED_USERNAMES
from marketplace_api.database.engines import Databases
from marketplace_api.domain.identity.accounts import registration, sessions
from marketplace_api.domain.identity.accounts.config import AccountRules
from marketplace_api.domain.identity.accounts.sessions import TokenPair
from marketplace_api.domain.kernel.actors import ANONYMOUS, Actor, operator
from marketplace_api.domain.kernel.tokens import SigningKeys, generate_seed
from marketplace_api.errors import DomainError
from marketplace_api.models.identity.accounts import AccountSession, User
from marketplace_api.models.kernel.events import Event

GOOD = "kettle orbit fudge 7"
BETTER = "violet anchor mosaic 9"
OPERATOR = operator("test")
RULES = AccountRules(
    bcrypt_cost=4,
    access_minutes=15,
    session_days=30,
    erase_days=30,
    backoff_free_attempts=3,
    email_undo_days=7,
    reserved_usernames=RESERVED_USERNAMES,
    secret="s" * 40,
)
KEYS = SigningKeys.from_setting(f"test:{generate_seed()}")


class World:
    """The domain's functions with keys and rules filled in."""

    def __init__(self, databases: Databases, **rules: Any) -> None:
        self.databases = databases
        self.rules = replace(RULES, **rules)
        self.keys = KEYS
        self.parts = (databases, KEYS, self.rules)

    def register(self, session: Session, name: str = "anna", password: str = GOOD) -> TokenPair:
        return registration.register(
            session,
            *self.parts,
            username=name,
            email=f"{name}@people.example",
            password=password,
            device="Firefox",
            address="192.0.2.1",
            actor=ANONYMOUS,
        )

    def log_in(
        self,
        session: Session,
        email: str = "anna@people.example",
        password: str = GOOD,
        address: str = "192.0.2.1",
        **more: Any,
    ) -> TokenPair:
        given = {"email": email, "password": password, "device": "Firefox", "address": address, **more}
        return sessions.log_in(session, *self.parts, **given, actor=ANONYMOUS)

    def refresh(self, session: Session, token: str) -> TokenPair:
        return sessions.refresh(session, *self.parts, refresh_token=token, device="Safari", address="192.0.2.2")

    def actor(self, session: Session, pair: TokenPair) -> Actor:
        return sessions.identify(session, self.keys.verify(pair.token), "request-1")


def event_types(session: Session, subject_id: int | None = None, subject_type: str = "user") -> list[str]:
    """The types of the events so far, of one subject where it is given."""
    statement = sa.select(Event.type).order_by(Event.event_id)
    if subject_id is not None:
        statement = statement.where(Event.subject_id == subject_id, Event.subject_type == subject_type)
    return list(session.execute(statement).scalars())


def fresh(session: Session, user_id: int) -> User:
    """The account as it is in the database."""
    return session.get_one(User, user_id, populate_existing=True)


def at_once(databases: Databases, *works: Callable[[Session], Any], patience: float = 10) -> list[Any]:
    """Run each piece of work in a transaction and thread of its own, started together; results or exceptions."""
    barrier = Barrier(len(works))

    def run(work: Callable[[Session], Any]) -> Any:
        barrier.wait(patience)
        try:
            with databases.session() as session, session.begin():
                return work(session)
        except Exception as error:
            return error

    with ThreadPoolExecutor(len(works)) as pool:
        return list(pool.map(run, works))


def refusal(call: Callable[[], Any]) -> str:
    """The code of the error that ``call`` raises."""
    with pytest.raises(DomainError) as caught:
        call()
    return caught.value.code


def age(session: Session, pair: TokenPair, **columns: timedelta) -> None:
    """Move times of the pair's session into the past."""
    table = AccountSession.__table__.c
    values = {name: table[name] - by for name, by in columns.items()}
    session.execute(sa.update(AccountSession).where(table.session_id == pair.session_id).values(values))
    session.expire_all()


def state_of(session: Session, pair: TokenPair) -> AccountSession:
    """The pair's session as it is in the database."""
    return session.get_one(AccountSession, pair.session_id, populate_existing=True)

"""Who is there: accounts with a known password, and their pictures."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from functools import partial

import sqlalchemy as sa
from sqlalchemy.orm import Session

from marketplace_api.config.settings import Settings
from marketplace_api.domain.identity import passwords
from marketplace_api.domain.identity.accounts import pictures, profiles, registration
from marketplace_api.domain.identity.accounts.config import AccountRules
from marketplace_api.domain.kernel.actors import Actor, operator
from marketplace_api.domain.operations.demo import fixtures
from marketplace_api.domain.operations.demo.timeline import Timeline
from marketplace_api.models.identity.accounts import User

PASSWORD = "demo-marketplace-2026"
DOMAIN = "demo.example"

LOGINS = tuple(
    (role, f"{name}@{DOMAIN}", PASSWORD)
    for role, name in (
        ("admin", "admin"),
        ("moderator", "moderator"),
        ("staff", "staff"),
        ("customer", "anna"),
        ("customer", "ben"),
    )
)
"""Role, e-mail address and password of a few of the accounts; all others have the same password."""

PICTURED_AFTER = timedelta(minutes=25)


def make(session: Session, settings: Settings, now: datetime) -> None:
    """Make the accounts, confirmed, so that nobody is sent a mail."""
    rules = AccountRules.from_settings(settings)
    # Hashing is slow on purpose, so one hash serves all.
    hashed = passwords.hash_password(PASSWORD, rules.bcrypt_cost)
    for name, row in fixtures.people().items():
        user = registration.create_account(
            session,
            rules,
            username=name,
            email=f"{name}@{DOMAIN}",
            password=None,
            roles=(row["role"],),
            actor=operator("demo data"),
            confirmed=True,
        )
        user.password_hash = hashed
        session.flush()
        profiles.edit(session, _actor(user), user.user_id, changes={"bio": row["bio"]})
        joined = now - timedelta(days=float(row["days_ago"]))
        user.date_joined = user.date_updated = user.email_confirmed_at = joined
        session.flush()


def find(session: Session) -> dict[str, Actor]:
    """Those of the demo's people that are there under their names, each as one who can act."""
    emails = [f"{name}@{DOMAIN}" for name in fixtures.people()]
    found = session.execute(sa.select(User).where(User.email.in_(emails))).scalars()
    return {user.username: _actor(user) for user in found}


def plan(market: Timeline) -> None:
    """Soon after somebody joined they sent a picture."""
    people: Mapping[str, Mapping[str, str]] = fixtures.people()
    for name, row in people.items():
        market.studio.order_portrait(name)
        market.plan(market.ago(row["days_ago"]) + PICTURED_AFTER, partial(_picture, market, name))


def _picture(market: Timeline, name: str, moment: datetime) -> None:
    actor = market.people[name]
    user_id = actor.user_id or 0
    pictures.replace(
        market.session, market.databases, market.storage, actor, user_id, stream=market.studio.portrait(name)
    )
    market.date(User, User.user_id == user_id, date_updated=moment)


def _actor(user: User) -> Actor:
    return Actor(user_id=user.user_id, username=user.username, roles=frozenset(user.roles))

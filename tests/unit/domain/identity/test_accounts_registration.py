"""Making accounts."""

from __future__ import annotations

import pytest
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from marketplace_api.config.settings import Settings
from marketplace_api.database.engines import Databases
from marketplace_api.domain.identity.accounts import queries, registration
from marketplace_api.domain.identity.accounts.config import AccountRules
from marketplace_api.domain.kernel.actors import ANONYMOUS
from marketplace_api.domain.privacy import erasure
from marketplace_api.errors import Conflict, Invalid
from marketplace_api.models.identity.accounts import User
from tests.unit.domain.identity.accounts_world import GOOD, OPERATOR, World, event_types


@pytest.fixture
def world(databases: Databases) -> World:
    return World(databases)


def test_registering_makes_a_customer_who_is_logged_in(db: Session, world: World) -> None:
    pair = world.register(db)
    user = pair.user
    assert (user.username, user.email) == ("anna", "anna@people.example")
    assert (user.roles, user.state) == (["customer"], "active")
    assert user.email_confirmed_at is None
    assert user.password_hash != GOOD
    assert world.actor(db, pair).is_active
    assert event_types(db, user.user_id) == ["user.registered"]


@pytest.mark.parametrize(
    ("username", "email", "names"),
    [
        ("ANNA", "other@people.example", ["username"]),
        ("bert", "Anna@People.Example", ["email"]),
        ("Anna", "ANNA@people.example", ["username", "email"]),
        ("deleted-77", "other@people.example", ["username"]),
        ("Deleted-77", "anna@people.example", ["username", "email"]),
    ],
)
def test_every_taken_field_is_named(db: Session, world: World, username: str, email: str, names: list[str]) -> None:
    world.register(db)
    with pytest.raises(Conflict) as caught:
        registration.register(
            db, *world.parts, username=username, email=email, password=GOOD, device="", address="", actor=ANONYMOUS
        )
    assert caught.value.code == "already_taken"
    assert [error.name for error in caught.value.errors] == names


def test_a_weak_password_is_told_with_all_its_faults(db: Session, world: World) -> None:
    with pytest.raises(Invalid) as caught:
        world.register(db, password="anna")
    assert caught.value.code == "weak_password"
    assert [error.code for error in caught.value.errors] == ["too_short", "contains_username", "contains_email"]


def test_operators_create_accounts_with_roles(db: Session, world: World) -> None:
    user = registration.create_account(
        db,
        world.rules,
        username="mod",
        email="mod@people.example",
        password=GOOD,
        roles=["moderator", "driver"],
        actor=OPERATOR,
        confirmed=True,
    )
    assert user.roles == ["customer", "driver", "moderator"]
    assert user.email_confirmed_at is not None
    assert world.log_in(db, "mod@people.example").user is user


def test_an_account_may_begin_without_a_password(db: Session, world: World) -> None:
    user = registration.create_account(
        db, world.rules, username="imported", email="i@people.example", password=None, roles=(), actor=OPERATOR
    )
    assert (user.password_hash, user.roles, user.email_confirmed_at) == (None, ["customer"], None)


def test_created_accounts_obey_the_same_rules(db: Session, world: World) -> None:
    values = {"username": "anna", "email": "anna@people.example", "roles": (), "actor": OPERATOR}
    with pytest.raises(Invalid) as weak:
        registration.create_account(db, world.rules, password="password12", **values)
    assert weak.value.code == "weak_password"
    with pytest.raises(Invalid) as unknown:
        registration.create_account(db, world.rules, password=None, **{**values, "roles": ["king"]})
    assert unknown.value.errors[0].code == "unknown_role"
    world.register(db)
    with pytest.raises(Conflict):
        registration.create_account(db, world.rules, password=None, **values)


def test_the_name_of_an_erased_account_stays_its_own(db: Session, world: World) -> None:
    pair = world.register(db)
    erasure.erase(db, world.rules, OPERATOR, pair.user.user_id)
    again = world.register(db)
    assert again.user.user_id != pair.user.user_id


def test_the_database_has_the_last_word(db: Session, world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the question came too early, the index answers; other violations are faults of ours and stay so."""
    world.register(db)
    monkeypatch.setattr(queries, "require_free", lambda *_, **__: None)
    with pytest.raises(Conflict) as caught:
        world.register(db)
    assert caught.value.errors[0].name in ("username", "email")  # whichever index is looked at first
    with pytest.raises(IntegrityError), queries.keeping_unique(db, username="x", email="y"):
        db.add(User(username="x", email="y", roles=["king"]))


def test_the_rules_come_from_the_settings() -> None:
    rules = AccountRules.from_settings(Settings(bcrypt_cost=7, erase_days=3, secret="x" * 32))
    assert (rules.bcrypt_cost, rules.erase_after.days, rules.secret) == (7, 3, "x" * 32)

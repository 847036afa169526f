"""Password resets and confirmations of addresses."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.orm import Session

from marketplace_api.database.engines import Databases
from marketplace_api.domain.identity.accounts import lifecycle, profiles, recovery
from marketplace_api.domain.kernel.actors import ANONYMOUS, Actor
from marketplace_api.domain.kernel.tokens import hash_opaque
from marketplace_api.errors import Conflict, Invalid, NotFound, RateLimited, Unauthenticated
from marketplace_api.models.identity.accounts import OneTimeToken, User
from marketplace_api.models.kernel.events import Event
from tests.factories.accounts import make_user
from tests.unit.domain.identity.accounts_world import BETTER, GOOD, OPERATOR, RULES, World, event_types, fresh

HOUR = timedelta(hours=1)
ASKED = "user.password_reset_requested"


@pytest.fixture
def world(databases: Databases) -> World:
    return World(databases)


def issue(session: Session, user: User, purpose: str = "reset_password", email: str | None = None, **age: Any) -> str:
    now = datetime.now(UTC) - age.pop("age", timedelta())
    return recovery.issue_token(session, user.user_id, purpose, email or str(user.email), now, HOUR)


def reset(session: Session, world: World, token: str, new: str = BETTER) -> User:
    return recovery.reset_password(session, world.rules, token=token, new_password=new, actor=ANONYMOUS)


def refused(session: Session, call: Any) -> str:
    with pytest.raises(Invalid) as caught, session.begin_nested():
        call()
    return caught.value.code


def test_asking_is_silent_and_noted_only_for_accounts(db: Session) -> None:
    user = make_user(db)
    for email in (str(user.email).upper(), "nobody@people.example", ""):
        assert recovery.request_password_reset(db, email=email, actor=ANONYMOUS) is None
    assert event_types(db) == [ASKED]
    assert event_types(db, user.user_id) == [ASKED]


def test_everyone_costs_the_same_statements(db: Session) -> None:
    user, banned = make_user(db), make_user(db, state="banned")
    spent: list[list[str]] = []
    for email in (user.email, user.email, banned.email, "nobody@people.example"):
        seen: list[str] = []
        listen = (db.get_bind(), "before_cursor_execute", lambda *args, seen=seen: seen.append(args[2]))
        sa.event.listen(*listen)
        recovery.request_password_reset(db, email=str(email), actor=ANONYMOUS)
        sa.event.remove(*listen)
        spent.append([statement.partition(" sa_savepoint")[0] for statement in seen])
    assert [statements.pop() for statements in spent] == ["RELEASE SAVEPOINT", *["ROLLBACK TO SAVEPOINT"] * 3]
    assert spent[0] == spent[1] == spent[2] == spent[3]
    assert event_types(db) == [ASKED]


def test_asking_again_within_a_minute_is_ignored(db: Session) -> None:
    user, patient = make_user(db), make_user(db)
    for person in (user, patient):
        age = timedelta(seconds=61) if person is patient else timedelta(seconds=50)
        before = datetime.now(UTC) - age
        db.add(Event(type=ASKED, subject_type="user", subject_id=person.user_id, new={}, date_created=before))
        db.flush()
        recovery.request_password_reset(db, email=str(person.email), actor=ANONYMOUS)
    assert event_types(db, user.user_id) == [ASKED]
    assert event_types(db, patient.user_id) == [ASKED, ASKED]


def test_a_reset_sets_the_password_and_ends_all_sessions(db: Session, world: World) -> None:
    pair = world.register(db)
    user = reset(db, world, issue(db, pair.user))
    assert user.user_id == pair.user.user_id
    with pytest.raises(Unauthenticated):
        world.actor(db, pair)
    with pytest.raises(Unauthenticated):
        world.log_in(db)
    assert world.log_in(db, password=BETTER)
    assert "user.password_changed" in event_types(db, user.user_id)


def test_a_reset_ends_the_back_off(db: Session, world: World) -> None:
    pair = world.register(db)
    for _ in range(3):
        with pytest.raises(Unauthenticated):
            world.log_in(db, password="wrong")
    with pytest.raises(RateLimited):
        world.log_in(db)
    reset(db, world, issue(db, pair.user))
    assert world.log_in(db, password=BETTER)


def test_a_token_works_once_and_for_its_time(db: Session, world: World) -> None:
    user = world.register(db).user
    token = issue(db, user)
    reset(db, world, token)
    assert refused(db, lambda: reset(db, world, token)) == "invalid_token"
    expired = issue(db, user, age=timedelta(minutes=61))
    assert refused(db, lambda: reset(db, world, expired)) == "invalid_token"
    assert refused(db, lambda: reset(db, world, "")) == "invalid_token"
    assert refused(db, lambda: reset(db, world, "\ud800")) == "invalid_token"
    confirming = issue(db, user, "confirm_email")
    assert refused(db, lambda: reset(db, world, confirming)) == "invalid_token"


def test_only_the_newest_token_of_a_purpose_works(db: Session, world: World) -> None:
    user = world.register(db).user
    older, confirming, newer = issue(db, user), issue(db, user, "confirm_email"), issue(db, user)
    assert refused(db, lambda: reset(db, world, older)) == "invalid_token"
    assert recovery.confirm_email(db, RULES, token=confirming, actor=ANONYMOUS)
    assert reset(db, world, newer)


def test_tokens_are_stored_hashed(db: Session, world: World) -> None:
    token = issue(db, world.register(db).user)
    assert db.execute(sa.select(OneTimeToken.token_hash)).scalars().all() == [hash_opaque(token)]
    with pytest.raises(NotFound):
        recovery.issue_token(db, 2**62, "reset_password", "x@people.example", datetime.now(UTC), HOUR)


def test_a_weak_password_does_not_burn_the_token(db: Session, world: World) -> None:
    token = issue(db, world.register(db).user)
    assert refused(db, lambda: reset(db, world, token, "anna")) == "weak_password"
    assert reset(db, world, token)


def test_a_token_dies_with_the_address_it_was_mailed_to(db: Session, world: World) -> None:
    user = world.register(db).user
    token = issue(db, user)
    profiles.edit(db, OPERATOR, user.user_id, changes={"email": "new@people.example"})
    recovery.confirm_email(db, RULES, token=issue(db, user, "confirm_email", "new@people.example"), actor=ANONYMOUS)
    assert refused(db, lambda: reset(db, world, token)) == "invalid_token"
    stray = issue(db, user, email="anna@people.example")
    assert refused(db, lambda: reset(db, world, stray)) == "invalid_token"


def test_a_reset_undoes_a_change_of_address_that_somebody_began(db: Session, world: World) -> None:
    user = world.register(db).user
    profiles.edit(db, OPERATOR, user.user_id, changes={"email": "thief@people.example"})
    token = issue(db, user, "confirm_email", "thief@people.example")
    reset(db, world, issue(db, user))
    assert refused(db, lambda: recovery.confirm_email(db, RULES, token=token, actor=ANONYMOUS)) == "invalid_token"
    assert fresh(db, user.user_id).pending_email is None


def test_the_banned_cannot_reset(db: Session, world: World) -> None:
    user = world.register(db).user
    token = issue(db, user)
    lifecycle.ban(db, OPERATOR, user.user_id, reason="Fraud.")
    assert refused(db, lambda: reset(db, world, token)) == "invalid_token"


def test_a_reset_leaves_a_deactivated_account_asleep(db: Session, world: World) -> None:
    pair = world.register(db)
    lifecycle.deactivate(db, world.databases, world.actor(db, pair), world.rules, password=GOOD)
    recovery.request_password_reset(db, email="anna@people.example", actor=ANONYMOUS)
    assert event_types(db, pair.user.user_id)[-1] == ASKED
    assert reset(db, world, issue(db, pair.user)).state == "deactivated"
    assert world.log_in(db, password=BETTER).user.state == "active"


def test_confirming_the_first_address(db: Session, world: World) -> None:
    user = world.register(db).user
    version = user.version
    confirmed = recovery.confirm_email(db, RULES, token=issue(db, user, "confirm_email"), actor=ANONYMOUS)
    assert confirmed.email_confirmed_at is not None
    assert confirmed.version == version + 1
    assert event_types(db, user.user_id)[-1] == "user.email_confirmed"


def test_confirming_a_new_address(db: Session, world: World) -> None:
    user = world.register(db).user
    profiles.edit(db, OPERATOR, user.user_id, changes={"email": "new@people.example"})
    recovery.confirm_email(db, RULES, token=issue(db, user, "confirm_email", "new@people.example"), actor=ANONYMOUS)
    now = fresh(db, user.user_id)
    assert (now.email, now.pending_email) == ("new@people.example", None)
    assert world.log_in(db, "new@people.example")


def test_an_address_taken_meanwhile_is_a_conflict(db: Session, world: World) -> None:
    user = world.register(db).user
    profiles.edit(db, OPERATOR, user.user_id, changes={"email": "bert@people.example"})
    token = issue(db, user, "confirm_email", "bert@people.example")
    world.register(db, "bert")
    with pytest.raises(Conflict) as caught:
        recovery.confirm_email(db, RULES, token=token, actor=ANONYMOUS)
    assert (caught.value.code, caught.value.errors[0].name) == ("already_taken", "email")


def test_a_confirmation_of_an_address_that_is_not_wanted_any_more(db: Session, world: World) -> None:
    user = world.register(db).user
    profiles.edit(db, OPERATOR, user.user_id, changes={"email": "new@people.example"})
    token = issue(db, user, "confirm_email", "new@people.example")
    profiles.edit(db, OPERATOR, user.user_id, changes={"email": user.email})
    assert refused(db, lambda: recovery.confirm_email(db, RULES, token=token, actor=ANONYMOUS)) == "invalid_token"


def test_asking_for_the_confirmation_again(db: Session) -> None:
    user, done = make_user(db, email_confirmed_at=None), make_user(db)
    for _ in range(2):
        recovery.request_email_confirmation(db, Actor(user_id=user.user_id))
    assert event_types(db, user.user_id) == ["user.email_confirmation_requested"]
    with pytest.raises(Conflict):
        recovery.request_email_confirmation(db, Actor(user_id=done.user_id))
    profiles.edit(db, OPERATOR, done.user_id, changes={"email": "new@people.example"})
    recovery.request_email_confirmation(db, Actor(user_id=done.user_id))
    with pytest.raises(NotFound):
        recovery.request_email_confirmation(db, ANONYMOUS)

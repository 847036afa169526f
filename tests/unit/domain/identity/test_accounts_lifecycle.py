"""Deactivation, erasure, suspension, ban, roles."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.orm import Session

from marketplace_api.database.engines import Databases
from marketplace_api.domain.identity.accounts import lifecycle, profiles, recovery, registration
from marketplace_api.domain.kernel.actors import ANONYMOUS, Actor
from marketplace_api.domain.privacy import erasure
from marketplace_api.errors import Conflict, DomainError, Forbidden, Gone, Invalid, NotFound, Unauthenticated
from marketplace_api.models.identity.accounts import User
from tests.factories.accounts import make_user
from tests.factories.listings import make_listing
from tests.unit.domain.identity.accounts_world import GOOD, OPERATOR, World, event_types, fresh

MONTH = timedelta(days=30)


@pytest.fixture
def world(databases: Databases) -> World:
    return World(databases)


def deactivate(session: Session, world: World, pair: Any, password: str = GOOD) -> datetime:
    return lifecycle.deactivate(session, world.databases, world.actor(session, pair), world.rules, password=password)


def public_listings(session: Session, user: User) -> int:
    counted = sa.text("SELECT count(*) FROM listings WHERE user_id = :id AND is_public")
    return int(session.execute(counted, {"id": user.user_id}).scalar_one())


def acting(session: Session, *roles: str) -> Actor:
    user = make_user(session, roles=list(roles))
    return Actor(user_id=user.user_id, username=user.username, roles=frozenset(user.roles))


def test_deactivating_hides_the_account(db: Session, world: World) -> None:
    pair = world.register(db)
    make_listing(db, pair.user)
    erased_at = deactivate(db, world, pair)
    assert timedelta(days=29) < erased_at - datetime.now(UTC) <= MONTH
    assert fresh(db, pair.user.user_id).state == "deactivated"
    assert public_listings(db, pair.user) == 0
    with pytest.raises(Unauthenticated):
        world.actor(db, pair)
    assert event_types(db, pair.user.user_id)[-1] == "user.deactivated"


def test_deactivating_needs_the_password_and_an_account_in_good_standing(db: Session, world: World) -> None:
    pair = world.register(db)
    actor = world.actor(db, pair)
    with pytest.raises(Invalid) as wrong:
        deactivate(db, world, pair, "wrong")
    assert wrong.value.errors[0].name == "password"
    lifecycle.suspend(db, OPERATOR, pair.user.user_id, reason="Spam.")
    with pytest.raises(Forbidden) as caught:
        deactivate(db, world, pair)
    assert caught.value.code == "account_suspended"
    lifecycle.ban(db, OPERATOR, pair.user.user_id, reason="Spam.")
    with pytest.raises(Unauthenticated):
        lifecycle.deactivate(db, world.databases, actor, world.rules, password=GOOD)


def test_only_what_is_due_is_erased(db: Session, world: World) -> None:
    now = datetime.now(UTC)
    due = [make_user(db, state="deactivated", deactivated_at=now - MONTH - timedelta(days=n)) for n in range(3)]
    kept = [make_user(db, state="deactivated", deactivated_at=now - timedelta(days=29)), make_user(db)]
    assert erasure.erase_due(db, world.rules, now, limit=2) == 2
    assert [fresh(db, user.user_id).state for user in due] == ["deactivated", "erased", "erased"]
    assert erasure.erase_due(db, world.rules, now) == 1
    assert erasure.erase_due(db, world.rules, now) == 0
    assert [fresh(db, user.user_id).state for user in kept] == ["deactivated", "active"]


def test_erasure_leaves_nothing_personal(db: Session, world: World) -> None:
    pair = world.register(db, "secretname")
    user = pair.user
    profiles.edit(
        db,
        OPERATOR,
        user.user_id,
        changes={
            "bio": "secret bio",
            "email": "secret2@people.example",
            "contact_information": {"phone": "secret"},
            "profile_picture_url": "https://secret.example/",
        },
    )
    place = {"address": "secret street", "city": "secretcity"}
    make_listing(db, user, description="secret description", photos_urls=["secret.webp"], **place)
    recovery.issue_token(db, user.user_id, "confirm_email", "secret2@people.example", datetime.now(UTC), MONTH)
    with pytest.raises(Unauthenticated):
        world.log_in(db, "secretname@people.example", "wrong", "")
    erasure.erase(db, world.rules, OPERATOR, user.user_id)
    erased = fresh(db, user.user_id)
    assert (erased.username, erased.email, erased.state) == (f"deleted-{user.user_id}", None, "erased")
    assert public_listings(db, user) == 0
    for table in ("users", "sessions", "one_time_tokens", "listings", "login_failures", "events"):
        held = str(db.execute(sa.text(f"SELECT json_agg(t) FROM {table} t")).scalar_one())
        for value in ("secret", "Firefox", "192.0.2.1", "52.53"):
            assert value not in held, (table, value)
    assert db.execute(sa.text("SELECT count(*) FROM login_failures")).scalar_one() == 0
    assert event_types(db, user.user_id)[-1] == "user.erased"
    with pytest.raises(Unauthenticated):
        world.log_in(db, "secretname@people.example")
    with pytest.raises(Gone):
        erasure.erase(db, world.rules, OPERATOR, user.user_id)


def test_roles_are_given_and_sessions_end(db: Session, world: World) -> None:
    pair = world.register(db)
    admin = acting(db, "admin")
    user = lifecycle.set_roles(db, admin, pair.user.user_id, ["driver"])
    assert user.roles == ["customer", "driver"]
    with pytest.raises(Unauthenticated):
        world.actor(db, pair)
    again = world.log_in(db)
    lifecycle.set_roles(db, admin, user.user_id, ["driver", "customer"])
    assert world.actor(db, again).roles == {"customer", "driver"}
    assert event_types(db, user.user_id).count("user.roles_changed") == 1
    with pytest.raises(Invalid):
        lifecycle.set_roles(db, admin, user.user_id, ["king"])
    with pytest.raises(NotFound):
        lifecycle.set_roles(db, admin, 2**62, [])


def test_a_suspension_keeps_the_sessions(db: Session, world: World) -> None:
    pair = world.register(db)
    moderator = acting(db, "moderator")
    until = datetime.now(UTC) + timedelta(days=1)
    user = lifecycle.suspend(db, moderator, pair.user.user_id, reason="Spam.", until=until)
    assert (user.state, user.state_reason, user.suspended_until) == ("suspended", "Spam.", until)
    assert world.actor(db, pair).state == "suspended"
    lifecycle.suspend(db, moderator, pair.user.user_id, reason="More spam.")
    assert fresh(db, user.user_id).suspended_until is None
    user = lifecycle.reinstate(db, moderator, pair.user.user_id, reason="A mistake.")
    assert (user.state, user.state_reason) == ("active", None)
    assert world.actor(db, pair).is_active
    with pytest.raises(Invalid):
        lifecycle.suspend(db, moderator, user.user_id, reason="x", until=datetime.now(UTC) - timedelta(days=1))
    kinds = ["user.registered", "user.suspended", "user.suspended", "user.reinstated"]
    assert event_types(db, user.user_id) == kinds


def test_a_ban_ends_everything_and_can_be_lifted(db: Session, world: World) -> None:
    pair = world.register(db)
    make_listing(db, pair.user)
    admin = acting(db, "admin")
    lifecycle.ban(db, admin, pair.user.user_id, reason="Fraud.")
    assert public_listings(db, pair.user) == 0
    with pytest.raises(Unauthenticated):
        world.actor(db, pair)
    with pytest.raises(Forbidden):
        world.log_in(db)
    with pytest.raises(Conflict) as caught:
        lifecycle.suspend(db, admin, pair.user.user_id, reason="x")
    assert (caught.value.code, caught.value.extra["state"]) == ("wrong_state", "banned")
    lifecycle.reinstate(db, admin, pair.user.user_id, reason="A mistake.")
    assert public_listings(db, pair.user) == 1
    assert world.log_in(db)
    with pytest.raises(Conflict):
        lifecycle.reinstate(db, admin, pair.user.user_id, reason="x")


@pytest.mark.parametrize("judge", [lifecycle.suspend, lifecycle.ban, lifecycle.reinstate])
def test_nobody_judges_themselves_or_their_equals(db: Session, judge: Any) -> None:
    moderator, staff, admin = acting(db, "moderator"), acting(db, "staff"), acting(db, "admin")
    equals = [(moderator, moderator), (moderator, staff), (moderator, admin), (staff, admin), (admin, admin)]
    equals += [(acting(db, "moderator"), moderator), (acting(db, "staff"), staff)]
    for actor, target in equals:
        with pytest.raises(Forbidden):
            judge(db, actor, target.user_id, reason="x")
    with pytest.raises(Forbidden):
        lifecycle.set_roles(db, admin, admin.user_id or 0, [])
    for actor, target in ((staff, moderator), (acting(db, "admin"), admin), (OPERATOR, acting(db, "admin"))):
        assert lifecycle.ban(db, actor, target.user_id or 0, reason="x").state == "banned"


def test_only_admins_give_roles_and_erase(db: Session, world: World) -> None:
    """Whoever acts for a moderator or staff, from the command line as well, makes nobody more than they are."""
    staff, other = acting(db, "staff"), make_user(db).user_id
    newcomer = {"username": "new.comer", "email": "new@example.org", "password": None, "actor": staff}
    for call in (
        lambda: lifecycle.set_roles(db, staff, other, ["admin"]),
        lambda: erasure.erase(db, world.rules, staff, other),
        lambda: registration.create_account(db, world.rules, roles=["admin"], **newcomer),
    ):
        with pytest.raises(Forbidden, match="Only admins"):
            call()
    assert registration.create_account(db, world.rules, roles=[], **newcomer).roles == ["customer"]


def test_the_erased_are_beyond_judgement(db: Session, world: World) -> None:
    user = make_user(db)
    erasure.erase(db, world.rules, OPERATOR, user.user_id)
    for call in (
        lambda: lifecycle.suspend(db, OPERATOR, user.user_id, reason="x"),
        lambda: lifecycle.ban(db, OPERATOR, user.user_id, reason="x"),
        lambda: lifecycle.set_roles(db, OPERATOR, user.user_id, ["driver"]),
    ):
        with pytest.raises(Gone):
            call()


def test_a_ban_outlives_a_deactivation(db: Session, world: World) -> None:
    pair = world.register(db)
    deactivate(db, world, pair)
    lifecycle.ban(db, OPERATOR, pair.user.user_id, reason="Fraud.")
    assert erasure.erase_due(db, world.rules, datetime.now(UTC) + 2 * MONTH) == 0


def test_accounts_are_found_by_whatever_names_them(db: Session) -> None:
    user = make_user(db, username="Anna-7")
    numeric = make_user(db, username="12345678901234567890")
    for reference in (str(user.user_id), "anna-7", str(user.email).upper(), f" {user.user_id} "):
        assert lifecycle.find(db, reference) is user
    assert lifecycle.find(db, numeric.username) is numeric
    for reference in ("", "0", "9" * 25, "nobody", "nobody@people.example", "²"):
        with pytest.raises(DomainError):
            lifecycle.find(db, reference)
    assert ANONYMOUS.user_id is None

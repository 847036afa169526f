"""Logging in, refreshing, listing and ending sessions, and who a caller is."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.orm import Session

from marketplace_api.database.engines import Databases
from marketplace_api.domain.identity import passwords
from marketplace_api.domain.identity.accounts import lifecycle, sessions
from marketplace_api.domain.kernel.actors import ANONYMOUS
from marketplace_api.domain.kernel.paging import PageRequest
from marketplace_api.errors import Forbidden, NotFound, RateLimited, Unauthenticated
from tests.factories.listings import make_listing
from tests.support.sql_recorder import recorded
from tests.unit.domain.identity.accounts_world import (
    GOOD,
    KEYS,
    OPERATOR,
    World,
    age,
    event_types,
    fresh,
    refusal,
    state_of,
)


@pytest.fixture
def world(databases: Databases) -> World:
    return World(databases)


def test_logging_in_begins_a_session(db: Session, world: World) -> None:
    user = world.register(db).user
    pair = world.log_in(db, "ANNA@people.example")
    assert pair.user.user_id == user.user_id
    assert (pair.token_type, pair.expires_in) == ("Bearer", 900)
    claims = KEYS.verify(pair.token)
    assert (claims.user_id, claims.session_id) == (user.user_id, pair.session_id)
    row = state_of(db, pair)
    assert (row.device, row.address) == ("Firefox", "192.0.2.1")
    assert row.expires_at - row.date_created == timedelta(days=30)
    assert fresh(db, user.user_id).last_login == row.date_created
    assert event_types(db, user.user_id) == ["user.registered", "user.logged_in"]


def test_no_token_is_stored(db: Session, world: World) -> None:
    pair = world.register(db)
    row = state_of(db, pair)
    assert len(row.refresh_hash) == 32
    assert pair.refresh_token.encode() not in bytes(row.refresh_hash)


def test_wrong_and_unknown_are_refused_alike(db: Session, world: World) -> None:
    world.register(db)
    with pytest.raises(Unauthenticated) as wrong:
        world.log_in(db, password="something else")
    with pytest.raises(Unauthenticated) as unknown:
        world.log_in(db, "nobody@people.example")
    assert wrong.value.code == unknown.value.code == "invalid_credentials"
    assert wrong.value.detail == unknown.value.detail


@pytest.mark.parametrize("email", ["anna@people.example", "nobody@people.example"])
def test_one_round_of_bcrypt_whoever_it_is(
    db: Session, world: World, monkeypatch: pytest.MonkeyPatch, email: str
) -> None:
    world.register(db)
    calls: list[bool] = []
    real = passwords.matches
    monkeypatch.setattr(passwords, "matches", lambda *args: calls.append(True) or real(*args))
    assert refusal(lambda: world.log_in(db, email, "something else")) == "invalid_credentials"
    assert calls == [True]


def test_an_account_without_password_cannot_be_entered(db: Session, world: World) -> None:
    user = world.register(db).user
    user.password_hash = None
    db.flush()
    assert refusal(lambda: world.log_in(db)) == "invalid_credentials"


def test_banned_is_told_only_to_who_knows_the_password(db: Session, world: World) -> None:
    user = world.register(db).user
    lifecycle.ban(db, OPERATOR, user.user_id, reason="Fraud.")
    assert refusal(lambda: world.log_in(db, password="something else")) == "invalid_credentials"
    with pytest.raises(Forbidden) as caught:
        world.log_in(db)
    assert caught.value.code == "account_banned"


def test_logging_in_brings_a_deactivated_account_back(db: Session, world: World) -> None:
    pair = world.register(db)
    listing = make_listing(db, pair.user)
    lifecycle.deactivate(db, world.databases, world.actor(db, pair), world.rules, password=GOOD)
    hidden = sa.text("SELECT owner_hidden FROM listings WHERE listing_id = :id")
    assert db.execute(hidden, {"id": listing.listing_id}).scalar_one() is True
    again = world.log_in(db)
    assert (again.user.state, again.user.deactivated_at) == ("active", None)
    assert db.execute(hidden, {"id": listing.listing_id}).scalar_one() is False
    assert "user.reactivated" in event_types(db, again.user.user_id)
    assert world.actor(db, again).is_active


def test_a_raised_cost_is_followed_at_log_in(db: Session, world: World) -> None:
    user = world.register(db).user
    stronger = World(world.databases, bcrypt_cost=5)
    stronger.log_in(db)
    assert str(fresh(db, user.user_id).password_hash).startswith("$2b$05$")
    stronger.log_in(db)


def test_a_password_changed_while_it_is_checked_does_not_let_in(
    db: Session, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    user = world.register(db).user
    real = passwords.matches

    def change_meanwhile(*args: Any) -> bool:
        user.password_hash = passwords.hash_password("another one", 4)
        db.flush()
        return real(*args)

    monkeypatch.setattr(passwords, "matches", change_meanwhile)
    assert refusal(lambda: world.log_in(db)) == "invalid_credentials"


def test_the_log_knows_neither_name_nor_address(db: Session, world: World) -> None:
    world.register(db)
    pair = world.log_in(db)
    told = str(db.execute(sa.text("SELECT json_agg(e) FROM events e")).scalar_one())
    for secret in ("anna", "192.0.2.1", "Firefox", pair.token, pair.refresh_token):
        assert secret not in told


def test_the_caller_is_a_value(db: Session, world: World) -> None:
    pair = world.register(db)
    lifecycle.set_roles(db, OPERATOR, pair.user.user_id, ["moderator"])
    pair = world.log_in(db)
    actor = world.actor(db, pair)
    assert (actor.user_id, actor.username, actor.session_id) == (pair.user.user_id, "anna", pair.session_id)
    assert actor.roles == {"customer", "moderator"}
    assert (actor.state, actor.request_id, actor.moderates) == ("active", "request-1", True)


@pytest.mark.parametrize(
    ("until", "state"), [(None, "suspended"), (timedelta(hours=1), "suspended"), (timedelta(hours=-1), "active")]
)
def test_a_suspension_ends_by_itself(db: Session, world: World, until: timedelta | None, state: str) -> None:
    pair = world.register(db)
    pair.user.state = "suspended"
    pair.user.suspended_until = datetime.now(UTC) + until if until else None
    db.flush()
    assert world.actor(db, pair).state == state
    assert world.actor(db, world.refresh(db, pair.refresh_token)).state == state
    assert world.log_in(db)


def test_a_session_of_somebody_else_is_no_proof(db: Session, world: World) -> None:
    anna, bert = world.register(db), world.register(db, "bert")
    token = KEYS.sign(anna.user.user_id, bert.session_id, datetime.now(UTC))
    with pytest.raises(Unauthenticated):
        sessions.identify(db, KEYS.verify(token), None)


def test_identifying_takes_one_query(db: Session, world: World) -> None:
    pair = world.register(db)
    claims = KEYS.verify(pair.token)
    with recorded() as statements:
        sessions.identify(db, claims, None)
    assert len(statements) == 1


def test_own_sessions_are_listed_in_parts(db: Session, world: World) -> None:
    pairs = [world.register(db), *(world.log_in(db) for _ in range(4))]
    world.register(db, "bert")
    for hours, pair in enumerate(pairs):
        age(db, pair, last_used=timedelta(hours=hours))
    ids = [pair.session_id for pair in pairs]
    actor = world.actor(db, pairs[0])
    seen, cursor = [], None
    while True:
        page = sessions.list_sessions(db, actor, PageRequest(1, 2, cursor))
        assert page.total == 5
        seen += [row.session_id for row in page.items]
        if page.next_cursor is None:
            break
        cursor = page.next_cursor
    assert seen == ids
    back = sessions.list_sessions(db, actor, PageRequest(1, 2, page.prev_cursor))
    assert [row.session_id for row in back.items] == ids[2:4]
    assert [row.session_id for row in sessions.list_sessions(db, actor, PageRequest(3, 2)).items] == ids[4:]
    row = sessions.find_own(db, actor, ids[1])
    assert (row.device, row.user_id) == ("Firefox", actor.user_id)


@pytest.mark.parametrize(("scope", "left"), [("this", 2), ("others", 1), ("all", 0)])
def test_logging_out(db: Session, world: World, scope: str, left: int) -> None:
    pair = world.register(db)
    others = [world.log_in(db), world.log_in(db)]
    stranger = world.register(db, "bert")
    actor = world.actor(db, pair)
    assert sessions.log_out(db, actor, scope=scope) == 3 - left
    assert sessions.list_sessions(db, actor, PageRequest()).total == left
    assert sessions.log_out(db, actor, scope=scope) == 0
    assert world.actor(db, stranger).is_active
    ended = pair if scope != "others" else others[0]
    assert event_types(db, ended.session_id, "session") == ["session.ended"]


def test_only_own_sessions_can_be_ended(db: Session, world: World) -> None:
    anna, bert = world.register(db), world.register(db, "bert")
    other = world.log_in(db)
    actor = world.actor(db, anna)
    sessions.end(db, actor, other.session_id)
    assert refusal(lambda: world.actor(db, other)) == "session_ended"
    for session_id in (bert.session_id, other.session_id, 2**62):
        with pytest.raises(NotFound):
            sessions.end(db, actor, session_id)
        assert sessions.find_own(db, actor, session_id) is None
    with pytest.raises(NotFound):
        sessions.end(db, ANONYMOUS, anna.session_id)
    assert sessions.log_out(db, ANONYMOUS) == 0


def test_back_off_is_the_same_for_everyone(db: Session, world: World) -> None:
    world.register(db)
    waits = []
    for email in ("anna@people.example", "nobody@people.example"):
        for _ in range(3):
            assert refusal(lambda email=email: world.log_in(db, email, "wrong", "")) == "invalid_credentials"
        with pytest.raises(RateLimited) as caught:
            world.log_in(db, email, GOOD, "")
        waits.append((caught.value.code, caught.value.detail, caught.value.retry_after))
    assert waits[0] == waits[1] == ("rate_limited", waits[0][1], 2)


def test_other_accounts_and_live_sessions_go_on_during_back_off(db: Session, world: World) -> None:
    pair = world.register(db)
    world.register(db, "bert")
    for _ in range(3):
        refusal(lambda: world.log_in(db, password="wrong"))
    assert refusal(lambda: world.log_in(db)) == "rate_limited"
    assert world.log_in(db, "bert@people.example")
    assert world.refresh(db, pair.refresh_token)

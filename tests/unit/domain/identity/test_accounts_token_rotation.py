"""Refreshing: rotation, the moment of grace, reuse."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy.orm import Session

from marketplace_api.database.engines import Databases
from marketplace_api.domain.identity.accounts import refresh_tokens, sessions
from tests.unit.domain.identity.accounts_world import World, age, event_types, refusal, state_of


@pytest.fixture
def world(databases: Databases) -> World:
    return World(databases)


def test_refreshing_trades_the_token(db: Session, world: World) -> None:
    first = world.register(db)
    age(db, first, rotated_at=timedelta(hours=1), last_used=timedelta(hours=1), expires_at=timedelta(days=1))
    second = world.refresh(db, first.refresh_token)
    assert second.refresh_token != first.refresh_token
    assert second.token != first.token
    assert second.user.username == "anna"
    row = state_of(db, second)
    assert row.refresh_generation == 1
    assert (row.device, row.address) == ("Safari", "192.0.2.2")
    assert row.expires_at - row.last_used == timedelta(days=30)
    assert world.refresh(db, second.refresh_token).refresh_token != second.refresh_token


def test_the_previous_token_gives_the_same_pair_for_a_moment(db: Session, world: World) -> None:
    first = world.register(db)
    second = world.refresh(db, first.refresh_token)
    again = world.refresh(db, first.refresh_token)
    assert (again.token, again.refresh_token) == (second.token, second.refresh_token)
    age(db, first, rotated_at=timedelta(seconds=9))
    later = world.refresh(db, first.refresh_token)
    assert later.refresh_token == second.refresh_token
    assert later.expires_in == 900 - 9


def test_an_older_token_ends_the_session(db: Session, world: World) -> None:
    first = world.register(db)
    second = world.refresh(db, first.refresh_token)
    world.refresh(db, second.refresh_token)
    assert refusal(lambda: world.refresh(db, first.refresh_token)) == "refresh_token_reused"
    assert state_of(db, first).end_reason == "reuse_detected"
    assert event_types(db, first.session_id, "session") == ["session.reuse_detected"]
    assert refusal(lambda: world.refresh(db, second.refresh_token)) == "session_ended"
    assert refusal(lambda: world.actor(db, first)) == "session_ended"
    assert event_types(db, first.session_id, "session") == ["session.reuse_detected"]


def test_the_previous_token_after_the_grace_ends_the_session(db: Session, world: World) -> None:
    first = world.register(db)
    world.refresh(db, first.refresh_token)
    age(db, first, rotated_at=timedelta(seconds=11))
    assert refusal(lambda: world.refresh(db, first.refresh_token)) == "refresh_token_reused"


def test_an_invented_token_ends_nothing(db: Session, world: World) -> None:
    pair = world.register(db)
    for generation in (0, 1, 2**32 - 1):
        forged = refresh_tokens.make(world.rules, pair.session_id, generation, b"another nonce...")
        assert refusal(lambda token=forged: world.refresh(db, token)) == "token_invalid"
    elsewhere = refresh_tokens.make(world.rules, 2**63 - 1, 0, bytes(16))
    assert refusal(lambda: world.refresh(db, elsewhere)) == "token_invalid"
    assert world.actor(db, pair).is_active


@pytest.mark.parametrize(
    "token", ["", "x", "x" * 59, "_" * 59, "A" * 59, "é" * 59, "A" * 58 + "=", "A" * 10_000, "\x00" * 59]
)
def test_garbage_is_no_refresh_token(db: Session, world: World, token: str) -> None:
    assert refusal(lambda: world.refresh(db, token)) == "token_invalid"


def test_another_spelling_of_a_token_is_not_that_token(db: Session, world: World) -> None:
    """The last character carries two bits that mean nothing."""
    pair = world.register(db)
    last = pair.refresh_token[-1]
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    other = alphabet[alphabet.index(last) ^ 1]
    assert refusal(lambda: world.refresh(db, pair.refresh_token[:-1] + other)) == "token_invalid"


def test_sessions_outlive_a_change_of_the_secret(db: Session, world: World) -> None:
    pair = world.register(db)
    changed = World(world.databases, secret="t" * 40)
    following = changed.refresh(db, pair.refresh_token)
    assert changed.refresh(db, following.refresh_token)


def test_ended_and_expired_sessions_cannot_be_refreshed(db: Session, world: World) -> None:
    ended, expired = world.register(db), world.log_in(db)
    sessions.log_out(db, world.actor(db, ended))
    age(db, expired, expires_at=timedelta(days=30))
    for pair in (ended, expired):
        assert refusal(lambda pair=pair: world.refresh(db, pair.refresh_token)) == "session_ended"
        assert refusal(lambda pair=pair: world.actor(db, pair)) == "session_ended"


@pytest.mark.parametrize("state", ["banned", "deactivated", "erased"])
def test_accounts_that_may_not_act_are_nobody(db: Session, world: World, state: str) -> None:
    pair = world.register(db)
    pair.user.state, pair.user.deactivated_at = state, datetime.now(UTC)
    db.flush()
    assert refusal(lambda: world.actor(db, pair)) == "session_ended"
    assert refusal(lambda: world.refresh(db, pair.refresh_token)) == "session_ended"

"""Log-ins at the same moment: real connections, real commits, and nobody locked out by somebody else."""

from __future__ import annotations

from functools import partial
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.orm import Session

from marketplace_api.database.engines import Databases
from marketplace_api.domain.identity.accounts import known_devices, login_throttle, recovery, sessions
from marketplace_api.domain.identity.accounts.login_throttle import Attempt, Known
from marketplace_api.domain.identity.accounts.sessions import TokenPair
from marketplace_api.domain.kernel.actors import ANONYMOUS
from marketplace_api.errors import RateLimited, Unauthenticated
from marketplace_api.models.identity.accounts import AccountSession, LoginFailures
from tests.unit.domain.identity.accounts_world import BETTER, GOOD, World, at_once
from tests.unit.domain.identity.test_accounts_races import codes, committed, issue

HOME, ABROAD, STRANGE = "192.0.2.1", "198.51.100.7", "203.0.113.9"
ANNA = "anna@people.example"


@pytest.fixture
def world(committed_databases: Databases) -> World:
    return World(committed_databases)


def guess(session: Session, world: World, password: str, address: str = STRANGE, email: str = ANNA) -> Any:
    return world.log_in(session, email, password, address)


def fail(world: World, times: int, address: str = STRANGE, email: str = ANNA) -> None:
    """Wrong passwords from ``address``, each as soon as it is let through."""
    for number in range(times):
        with pytest.raises(Unauthenticated):
            committed(world, lambda s, number=number: guess(s, world, f"wrong {number}", address, email))
        committed(world, pass_time)


def pass_time(session: Session) -> None:
    session.execute(sa.text("UPDATE login_failures SET locked_until = locked_until - interval '1 hour'"))


def counts(world: World) -> dict[bytes, int]:
    table = LoginFailures.__table__.c
    with world.databases.session() as session:
        return {row.subject: row.failures for row in session.execute(sa.select(table.subject, table.failures))}


def test_in_back_off_parallel_guesses_are_one_guess(world: World) -> None:
    committed(world, world.register)
    fail(world, world.rules.backoff_free_attempts)
    words = [f"guess {number}" for number in range(60)]
    marks = {word: Attempt(world.rules, ANNA, STRANGE, password=word).guess for word in words}
    different = list({mark: word for word, mark in marks.items()}.values())[:8]
    results = at_once(world.databases, *[partial(guess, world=world, password=word) for word in different])
    assert codes(results) == ["invalid_credentials", *["rate_limited"] * 7]
    assert all(result.retry_after for result in results if isinstance(result, RateLimited))


@pytest.mark.parametrize("email", [ANNA, "nobody@people.example"])
def test_failures_survive_the_refusal(world: World, email: str) -> None:
    committed(world, world.register)
    for _ in range(world.rules.backoff_free_attempts):
        with pytest.raises(Unauthenticated):
            committed(world, lambda s: guess(s, world, "wrong", email=email))
    with pytest.raises(RateLimited):
        committed(world, lambda s: guess(s, world, GOOD, email=email))


@pytest.mark.parametrize(("failures", "address"), [(0, HOME), (12, HOME), (12, STRANGE)])
def test_many_right_log_ins_at_once_all_succeed(world: World, failures: int, address: str) -> None:
    """150 of them, also where somebody who fails now would have to wait."""
    committed(world, world.register)
    fail(world, failures, address)
    world.databases.write.pool._timeout = 120.0  # type: ignore[attr-defined]  # 150 callers wait for 30 connections
    results = at_once(world.databases, *[lambda s: world.log_in(s, address=address)] * 150, patience=120)
    assert set(codes(results)) == {"fine"}
    assert len({pair.session_id for pair in results}) == 150
    # What a success takes back is its own: of the account over all networks nothing is left either.
    assert set(counts(world).values()) <= {0}


def test_right_log_ins_beside_a_stranger_s_guesses_all_succeed(world: World) -> None:
    committed(world, world.register)
    fail(world, 15)
    strangers = [partial(guess, world=world, password=f"guess {number}") for number in range(20)]
    results = at_once(world.databases, *[world.log_in] * 40, *strangers, patience=60)
    assert set(codes(results[:40])) == {"fine"}
    assert set(codes(results[40:])) <= {"invalid_credentials", "rate_limited"}


def test_fifteen_failures_of_a_stranger_hold_up_nobody_but_the_stranger(world: World) -> None:
    pair = committed(world, world.register)
    fail(world, 14)
    with pytest.raises(Unauthenticated):
        committed(world, lambda s: guess(s, world, "wrong"))
    with pytest.raises(RateLimited) as refused:
        committed(world, lambda s: guess(s, world, GOOD))
    assert refused.value.retry_after in (899, 900, 901)
    for address in (HOME, ABROAD):
        again = committed(world, lambda s, address=address: world.log_in(s, address=address))
        assert again.user.user_id == pair.user.user_id


def test_guesses_from_everywhere_are_slowed_down_and_the_owner_is_not(world: World) -> None:
    pair = committed(world, world.register)
    bound = world.rules.backoff_free_attempts * login_throttle.ACCOUNT_FACTOR
    for number in range(bound):
        fail(world, 1, f"203.0.113.{number}")
    with pytest.raises(Unauthenticated):
        committed(world, lambda s: guess(s, world, "wrong", ABROAD))
    with pytest.raises(RateLimited):
        committed(world, lambda s: world.log_in(s, address="203.0.113.200"))
    assert committed(world, world.log_in)  # at home
    known = {"refresh_token": pair.refresh_token}  # the device, wherever it is; its session may be over
    assert committed(world, lambda s: world.log_in(s, address="203.0.113.201", **known))
    actor = committed(world, lambda s: world.actor(s, pair))
    committed(world, lambda s: sessions.log_out(s, actor))
    assert committed(world, lambda s: world.log_in(s, address="203.0.113.202", **known))


def test_twenty_failures_behind_one_address_do_not_lock_the_others_there(world: World) -> None:
    for name in ("anna", "bert"):
        committed(world, lambda s, name=name: world.register(s, name))
    for number in range(20):
        fail(world, 1, STRANGE, f"person{number}@people.example")
    fail(world, 1, STRANGE, ANNA)
    assert committed(world, lambda s: world.log_in(s, "bert@people.example", address=STRANGE))
    for number in range(20, world.rules.backoff_free_attempts * login_throttle.NETWORK_FACTOR):
        fail(world, 1, STRANGE, f"person{number}@people.example")
    with pytest.raises(Unauthenticated):
        committed(world, lambda s: guess(s, world, "wrong", STRANGE, "one-more@people.example"))
    with pytest.raises(RateLimited):
        committed(world, lambda s: guess(s, world, "wrong", STRANGE, "another@people.example"))
    assert committed(world, lambda s: world.log_in(s, "bert@people.example", address=STRANGE)), "at home there by now"


def test_failures_at_once_are_all_counted(world: World) -> None:
    """All of an account here; over all networks those that were free; of the network each account once."""
    work = [
        lambda s, number=number: login_throttle.count_failure(
            s, Attempt(world.rules, f"person{number % 5}@people.example", STRANGE, password=f"guess {number}")
        )
        for number in range(25)
    ]
    assert at_once(world.databases, *work) == [None] * 25
    found = counts(world)
    one = Attempt(world.rules, "person0@people.example", STRANGE)
    assert one.network is not None
    assert [found[key] for key in (one.own.key, one.account, one.network.key)] == [5, one.own.free, 5]


def test_counting_clearing_and_a_new_password_never_wait_in_a_circle(world: World) -> None:
    pair = committed(world, world.register)
    for _ in range(10):
        token = issue(world, pair, "reset_password", ANNA)
        results = at_once(
            world.databases,
            *[partial(guess, world=world, password=f"guess {number}", address=HOME) for number in range(4)],
            *[partial(guess, world=world, password=f"guess {number}", address=STRANGE) for number in range(4)],
            world.log_in,
            lambda s, token=token: recovery.reset_password(
                s, world.rules, token=token, new_password=BETTER, actor=ANONYMOUS
            ),
        )
        assert set(codes(results)) <= {"fine", "invalid_credentials", "rate_limited"}, results


def test_what_an_account_knows(world: World) -> None:
    pair = committed(world, world.register)
    other = committed(world, lambda s: world.register(s, "bert"))

    def known(device: str, address: str, token: str | None = None, user_id: int | None = pair.user.user_id) -> Known:
        return committed(
            world,
            lambda s: known_devices.recognise(
                s, world.rules, user_id, device=device, address=address, refresh_token=token
            ),
        )

    assert known("Firefox", HOME) == Known(device="agent:192.0.2.1:Firefox", at_home=True)
    assert known("Safari", HOME) == Known(at_home=True)
    assert known("Firefox", ABROAD) == known("", "") == Known()
    assert known("Firefox", HOME, user_id=None) == Known()
    assert known("Safari", ABROAD, pair.refresh_token) == Known(device=f"session:{pair.session_id}")
    for strange in (other.refresh_token, pair.refresh_token[:-2] + "AA", "x", pair.token):
        assert known("Safari", ABROAD, strange) == Known()
    later = committed(world, lambda s: world.refresh(s, pair.refresh_token))
    assert isinstance(later, TokenPair)
    assert known("Opera", ABROAD, pair.refresh_token) == Known(device=f"session:{pair.session_id}"), "an older one"
    table = AccountSession.__table__
    for reason, is_known in (("logged_out", True), ("password_reset", False), ("reuse_detected", False)):
        ended = sa.update(table).where(table.c.session_id == pair.session_id)
        committed(
            world,
            lambda s, ended=ended, reason=reason: s.execute(ended.values(ended_at=sa.func.now(), end_reason=reason)),
        )
        assert (known("Opera", ABROAD, pair.refresh_token) != Known()) == is_known
    elsewhere = sa.update(table).where(table.c.user_id == other.user.user_id).values(address="2001:db8:1:2::1")
    committed(world, lambda s: s.execute(elsewhere))
    assert known("Safari", "2001:db8:1:2:ffff::9", user_id=other.user.user_id) == Known(at_home=True)

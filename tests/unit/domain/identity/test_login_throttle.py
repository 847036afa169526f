"""Waiting times after failed log-ins: what counts where, what it holds up, and what a success takes back."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.orm import Session

from marketplace_api.domain.identity.accounts import login_throttle
from marketplace_api.domain.identity.accounts.login_throttle import Attempt, Known
from marketplace_api.errors import RateLimited
from marketplace_api.models.identity.accounts import LoginFailures
from tests.unit.domain.identity.accounts_world import RULES

TABLE = LoginFailures.__table__
FREE = RULES.backoff_free_attempts
HERE, ELSEWHERE = "192.0.2.1", "198.51.100.7"


def attempt(email: str = "anna@people.example", address: str = HERE, **more: Any) -> Attempt:
    return Attempt(RULES, email, address, **more)


def fail(session: Session, who: Attempt, times: int = 1) -> None:
    for _ in range(times):
        login_throttle.count_failure(session, who)


def later(session: Session, by: timedelta) -> None:
    session.execute(
        sa.update(TABLE).values(last_failed_at=TABLE.c.last_failed_at - by, locked_until=TABLE.c.locked_until - by)
    )


def wait(session: Session, who: Attempt) -> int:
    """The seconds that ``who`` would have to wait; nothing is noted."""
    with session.begin_nested() as savepoint:
        try:
            login_throttle.admit(session, who)
        except RateLimited as refused:
            return refused.retry_after or 0
        savepoint.rollback()
        return 0


def counted(session: Session, key: bytes) -> int:
    return session.execute(sa.select(TABLE.c.failures).where(TABLE.c.subject == key)).scalar() or 0


def test_the_first_failures_cost_nothing_then_the_time_doubles(db: Session) -> None:
    waits = []
    for _ in range(15):
        fail(db, attempt())
        waits.append(wait(db, attempt()))
        later(db, timedelta(minutes=15))
    # One second more than the rest, so that who waits as told is let in.
    assert waits == [0, 0, 2, 3, 5, 9, 17, 33, 65, 129, 257, 513, 901, 901, 901]


def test_the_waiting_time_passes(db: Session) -> None:
    fail(db, attempt(), 5)
    assert wait(db, attempt()) == 5
    later(db, timedelta(seconds=3))
    assert wait(db, attempt()) == 2
    later(db, timedelta(seconds=1))
    assert wait(db, attempt()) == 0


def test_in_back_off_one_guess_at_a_time_is_let_through(db: Session) -> None:
    """Guesses differ by their passwords: who comes with the same one passes with the first."""
    fail(db, attempt(), 5)
    later(db, timedelta(minutes=1))
    others = [one for one in map(_guess, range(20)) if one.guess != _guess(0).guess]
    login_throttle.admit(db, _guess(0))
    assert wait(db, _guess(0)) == 0
    assert {wait(db, other) for other in others} == {5}
    fail(db, _guess(0))
    assert wait(db, _guess(0)) == 9, "a failure holds everybody up"


def _guess(number: int) -> Attempt:
    return attempt(password=f"guess {number}")


def test_a_day_later_all_is_forgotten(db: Session) -> None:
    fail(db, attempt(), 30)
    later(db, timedelta(days=1))
    assert wait(db, attempt()) == 0
    fail(db, attempt())
    assert wait(db, attempt()) == 0


def test_spellings_of_an_address_are_one_account(db: Session) -> None:
    for email in ("anna@people.example", "ANNA@people.example ", "Anna@People.Example"):
        fail(db, attempt(email))
    assert wait(db, attempt()) > 0
    assert wait(db, attempt("bert@people.example")) == 0
    assert wait(db, Attempt(RULES, "anna\ud800@people.example", "no address\ud800", password="\ud800")) == 0


def test_a_stranger_locks_the_account_in_their_own_network_only(db: Session) -> None:
    fail(db, attempt(), 40)
    assert wait(db, attempt()) == 901
    assert wait(db, attempt(address=ELSEWHERE)) == 0
    assert wait(db, attempt(known=Known(device="session:1"))) == 0
    assert wait(db, attempt(known=Known(device="agent", at_home=True))) == 0


def test_many_networks_together_are_slowed_down_but_not_whom_the_account_knows(db: Session) -> None:
    bound = FREE * login_throttle.ACCOUNT_FACTOR
    for number in range(bound - 1):
        fail(db, attempt(address=f"203.0.113.{number}"))
    assert wait(db, attempt()) == 0
    fail(db, attempt(address="203.0.113.250"))
    assert wait(db, attempt()) == 2
    assert wait(db, attempt(address="2001:db8::1")) == 2
    assert wait(db, attempt("bert@people.example")) == 0
    for known in (Known(device="session:1"), Known(device="agent", at_home=True), Known(at_home=True)):
        assert wait(db, attempt(known=known)) == 0
    later(db, login_throttle.ACCOUNT_LEAK * 2)
    fail(db, attempt(address="203.0.113.251"))
    assert wait(db, attempt()) == 0, "one is forgotten in each hour"


def test_what_the_account_knows_fails_on_its_own_account(db: Session) -> None:
    for known in (Known(device="session:1"), Known(device="agent", at_home=True), Known(at_home=True)):
        fail(db, attempt(known=known), FREE * 4)
        assert wait(db, attempt(known=known)) > 60
    assert wait(db, attempt(address=ELSEWHERE)) == 0
    assert counted(db, attempt().account) == 0


def test_a_network_is_slowed_down_by_the_accounts_that_fail_there_not_by_failures(db: Session) -> None:
    """One who mistypes all day holds nobody up; trying one password on many accounts does, for a minute at most."""
    bound = FREE * login_throttle.NETWORK_FACTOR
    fail(db, attempt(), 200)
    for number in range(bound - 2):
        fail(db, attempt(f"person{number}@people.example"), 2)
    new = attempt("new@people.example")
    assert wait(db, new) == 0
    fail(db, attempt("one-more@people.example"))
    assert wait(db, new) == 2
    assert wait(db, attempt("new@people.example", ELSEWHERE)) == 0
    assert wait(db, attempt("new@people.example", known=Known(at_home=True))) == 0
    for number in range(20):
        fail(db, attempt(f"further{number}@people.example"))
    assert wait(db, new) == login_throttle.LONGEST_NETWORK_WAIT + 1
    later(db, login_throttle.NETWORK_LEAK * 22)
    fail(db, attempt("again@people.example"))
    assert wait(db, new) == 0


def test_a_steady_trickle_is_forgotten_as_it_comes(db: Session) -> None:
    network = attempt().network
    assert network is not None
    for number in range(100):
        fail(db, attempt(f"person{number}@people.example"))
        later(db, login_throttle.NETWORK_LEAK * 0.5)
    assert counted(db, network.key) == pytest.approx(50, abs=1)


def test_a_success_takes_back_what_its_own_failures_added(db: Session) -> None:
    network = attempt().network
    assert network is not None
    fail(db, attempt(address=ELSEWHERE), 2)
    fail(db, attempt("bert@people.example"))
    fail(db, attempt(), 3)
    assert (counted(db, attempt().account), counted(db, network.key)) == (5, 2)
    login_throttle.clear(db, attempt())
    assert wait(db, attempt()) == 0
    assert (counted(db, attempt().own.key), counted(db, attempt().account), counted(db, network.key)) == (0, 2, 1)
    # With an account of one's own nothing else is reset.
    for _ in range(5):
        login_throttle.clear(db, attempt("mine@people.example"))
    assert counted(db, network.key) == 1
    login_throttle.clear(db, attempt("bert@people.example"))
    login_throttle.clear(db, attempt(address=ELSEWHERE))
    assert db.execute(sa.select(TABLE.c.failures)).all() == []


def test_a_success_takes_back_no_more_than_it_added(db: Session) -> None:
    fail(db, attempt(address=ELSEWHERE), 2)
    fail(db, attempt(), 30)
    assert counted(db, attempt().account) == 2 + FREE
    login_throttle.clear(db, attempt())
    assert counted(db, attempt().account) == 2


def test_a_success_in_back_off_gives_its_turn_to_the_next(db: Session) -> None:
    bound = FREE * login_throttle.ACCOUNT_FACTOR
    for number in range(bound):
        fail(db, attempt(address=f"203.0.113.{number}"))
    later(db, timedelta(minutes=1))
    right, wrong = _guess(0), next(one for one in map(_guess, range(1, 20)) if one.guess != _guess(0).guess)
    login_throttle.admit(db, right)
    assert wait(db, wrong) == 2
    login_throttle.clear(db, right)
    assert wait(db, wrong) == 0
    assert counted(db, right.account) == bound, "they are others'"


def test_another_password_is_another_beginning(db: Session) -> None:
    fail(db, attempt(), 9)
    fail(db, attempt(known=Known(device="session:1")), 9)
    fail(db, attempt("bert@people.example"), 9)
    login_throttle.forget(db, RULES, "Anna@people.example")
    assert wait(db, attempt()) == wait(db, attempt(known=Known(device="session:1"))) == 0
    assert wait(db, attempt("bert@people.example")) > 0


@pytest.mark.parametrize(
    ("one", "another", "same"),
    [
        ("2001:db8:1:2::1", "2001:db8:1:2:ffff::9", True),
        ("2001:db8:1:2::1", "2001:db8:1:3::1", False),
        ("::ffff:192.0.2.1", "192.0.2.1", True),
        ("192.0.2.1", "192.0.2.2", False),
        ("no address", "no address", True),
    ],
)
def test_one_customer_is_one_network(one: str, another: str, same: bool) -> None:
    first, second = attempt(address=one), attempt(address=another)
    assert (first.network == second.network, first.own == second.own) == (same, same)


def test_the_table_names_nobody(db: Session) -> None:
    fail(db, attempt())
    stored = db.execute(sa.select(TABLE.c.subject, TABLE.c.account)).all()
    assert [len(row.subject) for row in stored] == [32, 32, 32]
    assert {row.account for row in stored} == {attempt().account, None}
    assert attempt().account != RULES.keyed_hash("another purpose", b"account\x00anna@people.example")


def test_the_secret_shows_in_no_text() -> None:
    assert RULES.secret not in repr(RULES)

"""Waiting times after failed log-ins."""

from __future__ import annotations

from datetime import timedelta

import pytest
import sqlalchemy as sa
from sqlalchemy.orm import Session

from marketplace_api.domain.identity.accounts import login_throttle
from marketplace_api.domain.identity.accounts.login_throttle import Subjects
from marketplace_api.errors import RateLimited
from marketplace_api.models.identity.accounts import LoginFailures
from tests.unit.domain.identity.accounts_world import RULES

TABLE = LoginFailures.__table__


def subjects(email: str = "anna@people.example", address: str = "") -> Subjects:
    return Subjects(RULES, email, address)


def later(session: Session, by: timedelta) -> None:
    session.execute(
        sa.update(TABLE).values(last_failed_at=TABLE.c.last_failed_at - by, locked_until=TABLE.c.locked_until - by)
    )


def wait(session: Session, who: Subjects) -> int:
    """The seconds that ``who`` would have to wait; nothing is noted."""
    with session.begin_nested() as savepoint:
        try:
            login_throttle.admit(session, who)
        except RateLimited as refused:
            return refused.retry_after or 0
        savepoint.rollback()
        return 0


def test_the_first_failures_cost_nothing_then_the_time_doubles(db: Session) -> None:
    waits = []
    for _ in range(15):
        login_throttle.count_failure(db, subjects())
        waits.append(wait(db, subjects()))
        later(db, timedelta(minutes=15))
    # One second more than the rest, so that who waits as told is let in.
    assert waits == [0, 0, 2, 3, 5, 9, 17, 33, 65, 129, 257, 513, 901, 901, 901]


def test_the_waiting_time_passes(db: Session) -> None:
    for _ in range(5):
        login_throttle.count_failure(db, subjects())
    assert wait(db, subjects()) == 5
    later(db, timedelta(seconds=3))
    assert wait(db, subjects()) == 2
    later(db, timedelta(seconds=1))
    assert wait(db, subjects()) == 0


def test_in_back_off_only_one_attempt_at_a_time_is_let_through(db: Session) -> None:
    for _ in range(5):
        login_throttle.count_failure(db, subjects())
    later(db, timedelta(minutes=1))
    login_throttle.admit(db, subjects())
    assert wait(db, subjects()) == 5


def test_a_day_later_all_is_forgotten(db: Session) -> None:
    for _ in range(30):
        login_throttle.count_failure(db, subjects())
    later(db, timedelta(days=1))
    assert wait(db, subjects()) == 0
    login_throttle.count_failure(db, subjects())
    assert wait(db, subjects()) == 0


def test_spellings_of_an_address_are_one_account(db: Session) -> None:
    for email in ("anna@people.example", "ANNA@people.example ", "Anna@People.Example"):
        login_throttle.count_failure(db, subjects(email))
    assert wait(db, subjects()) > 0
    assert wait(db, subjects("bert@people.example")) == 0
    assert wait(db, Subjects(RULES, "anna\ud800@people.example", "no address\ud800")) == 0


def test_an_address_has_more_room_and_keeps_its_count(db: Session) -> None:
    """Trying one password on many accounts is slowed down too, and an account of one's own does not help."""
    for number in range(RULES.backoff_free_attempts * login_throttle.ADDRESS_FACTOR - 1):
        login_throttle.count_failure(db, subjects(f"person{number}@people.example", "192.0.2.1"))
    assert wait(db, subjects(address="192.0.2.1")) == 0
    login_throttle.count_failure(db, subjects("one-more@people.example", "192.0.2.1"))
    assert wait(db, subjects(address="192.0.2.1")) == 2
    assert wait(db, subjects(address="192.0.2.2")) == 0
    later(db, timedelta(minutes=1))
    login_throttle.admit(db, subjects(address="192.0.2.1"))
    assert wait(db, subjects(address="192.0.2.1")) == 2
    login_throttle.clear(db, subjects(address="192.0.2.1"))
    assert wait(db, subjects(address="192.0.2.1")) == 0
    login_throttle.count_failure(db, subjects(address="192.0.2.1"))
    assert wait(db, subjects(address="192.0.2.1")) == 3


def test_success_clears_the_account(db: Session) -> None:
    for _ in range(5):
        login_throttle.count_failure(db, subjects())
    login_throttle.clear(db, subjects())
    assert wait(db, subjects()) == 0
    assert db.execute(sa.select(TABLE.c.failures)).all() == []


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
def test_one_customer_is_one_address(one: str, another: str, same: bool) -> None:
    assert (subjects(address=one).free == subjects(address=another).free) is same


def test_the_table_names_nobody(db: Session) -> None:
    login_throttle.count_failure(db, subjects(address="192.0.2.1"))
    stored = db.execute(sa.select(TABLE.c.subject)).scalars().all()
    assert [len(subject) for subject in stored] == [32, 32]
    assert Subjects(RULES, "a").account != RULES.keyed_hash("another purpose", b"account:a")


def test_the_secret_shows_in_no_text() -> None:
    assert RULES.secret not in repr(RULES)

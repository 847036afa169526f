"""Showing that one holds a number: a code is asked for, sent by a job, and told again.

An account has one number that waits at most. Nobody learns whether a number is another account's; who shows that they
hold it takes it over, for numbers change hands.
"""

from __future__ import annotations

import hmac
import secrets
from datetime import timedelta
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql
from sqlalchemy.orm import Session

from marketplace_api.database import row_security
from marketplace_api.database.base import table_of
from marketplace_api.database.engines import Databases
from marketplace_api.domain.identity.accounts import queries as accounts
from marketplace_api.domain.identity.accounts.config import AccountRules
from marketplace_api.domain.kernel.actors import Actor
from marketplace_api.domain.kernel.events import EventType, record
from marketplace_api.domain.outbound.phones import queries
from marketplace_api.errors import Conflict, FieldError, Invalid, NotFound, RateLimited
from marketplace_api.models.outbound.phones import MOST_ATTEMPTS, Phone, PhoneCode, PhoneCodeCount

CODE_LIFE = timedelta(minutes=10)
SENDING_LIFE = timedelta(hours=1)
"""A code that could not be sent by then is not sent any more."""

PAUSE = timedelta(minutes=1)
WINDOW = timedelta(days=1)
MOST_CODES = 5
"""Codes within :data:`WINDOW`, of an account and to a number alike."""

_c, _n = table_of(PhoneCode).c, table_of(PhoneCodeCount).c
_QUIETLY = {"synchronize_session": False}

_CLAIM = (
    sa.update(PhoneCode)
    .where(
        _c.user_id == sa.bindparam("of_user"),
        _c.code_hash.is_not(None),
        _c.attempts < MOST_ATTEMPTS,
        _c.expires_at > sa.func.now(),
    )
    .values(attempts=_c.attempts + 1)
    .returning(_c.number, _c.code_hash, _c.attempts)
)


def request_code(session: Session, actor: Actor, rules: AccountRules, number: str) -> Any:
    """Have a code sent to ``number`` (E.164); one that was asked for before is void. Returns the row of ``queries.COLUMNS``.

    The number that the account has confirmed stays until this one is. Raises :class:`Conflict` ``already_taken`` for
    the number that it is, ``sms_stopped`` for one whose holder answered STOP, and :class:`RateLimited`: a minute between
    two codes, and so many a day, for the account as for the number.
    """
    user_id = actor.user_id or 0
    accounts.lock_user(session, user_id)
    if queries.is_stopped(session, rules, number):
        raise stopped()
    if queries.confirmed_number(session, user_id) == number:
        message = "This number is confirmed already."
        raise Conflict(message, "already_taken", [FieldError("body", "phone", "already_taken", message)])
    _count(session, queries.subject(rules, "accounts", user_id), queries.subject(rules, "numbers", number))
    event = record(session, actor, EventType.USER_PHONE_CODE_REQUESTED, user_id)
    values: dict[str, Any] = {
        "number": number,
        "event_id": event.event_id,
        "code_hash": None,
        "attempts": 0,
        "problem": None,
        "date_created": sa.func.now(),
        "expires_at": sa.func.now() + SENDING_LIFE,
    }
    waiting = postgresql.insert(PhoneCode).values(user_id=user_id, **values)
    session.execute(waiting.on_conflict_do_update(index_elements=["user_id"], set_=values))
    return queries.find(session, user_id)


def make_code(session: Session, rules: AccountRules, user_id: int, event_id: int) -> tuple[str, str] | None:
    """The number and a fresh code of six digits, for the job that sends it; any code made before is void.

    ``None`` where the request is not the account's latest, or waits no more. Only the keyed hash is stored.
    """
    code = f"{secrets.randbelow(10**6):06}"
    mine = sa.and_(_c.user_id == user_id, _c.event_id == event_id, _c.expires_at > sa.func.now())
    number = session.execute(sa.select(_c.number).where(mine).with_for_update()).scalar()
    if number is None:
        return None
    made = (
        sa.update(PhoneCode)
        .where(mine)
        .values(code_hash=_hash(rules, user_id, number, code), expires_at=sa.func.now() + CODE_LIFE)
    )
    session.execute(made, execution_options=_QUIETLY)
    return str(number), code


def note_problem(session: Session, user_id: int, event_id: int, problem: str) -> None:
    """Tell the owner why the code of a request cannot be sent: one of ``models.phones.PROBLEMS``."""
    mine = sa.and_(_c.user_id == user_id, _c.event_id == event_id)
    noted = sa.update(PhoneCode).where(mine).values(problem=problem, code_hash=None)
    session.execute(noted, execution_options=_QUIETLY)


def confirm(session: Session, databases: Databases, actor: Actor, rules: AccountRules, code: str) -> Any:
    """Take the number that waits as the account's; returns the row of ``queries.COLUMNS``.

    Every attempt is counted before the code is looked at, in a transaction of its own, so that no number of requests at
    once gets more than ``MOST_ATTEMPTS``. Raises :class:`Conflict` ``wrong_state`` where no code waits, and
    :class:`Invalid` ``invalid_code``.
    """
    user_id = actor.user_id or 0
    with databases.separately(user_id) as short:
        claimed = short.execute(_CLAIM, {"of_user": user_id}, execution_options=_QUIETLY).one_or_none()
    if claimed is None:
        raise nothing_waits()
    number = claimed.number
    if not hmac.compare_digest(claimed.code_hash, _hash(rules, user_id, number, code)):
        raise _wrong_code(MOST_ATTEMPTS - claimed.attempts)
    accounts.lock_user(session, user_id)
    used = sa.delete(PhoneCode).where(_c.user_id == user_id, _c.code_hash == claimed.code_hash).returning(_c.number)
    if session.execute(used, execution_options=_QUIETLY).one_or_none() is None:
        raise nothing_waits()  # another request was faster
    _take_over(session, actor, number)
    mine = postgresql.insert(Phone).values(user_id=user_id, number=number)
    again = {"number": number, "confirmed_at": sa.func.now()}
    session.execute(mine.on_conflict_do_update(index_elements=["user_id"], set_=again))
    record(session, actor, EventType.USER_PHONE_CONFIRMED, user_id)
    return queries.find(session, user_id)


def remove(session: Session, actor: Actor) -> None:
    """Forget the account's number, and one that waits; raises :class:`NotFound` if there is neither."""
    user_id = actor.user_id or 0
    accounts.lock_user(session, user_id)
    if not forget(session, user_id):
        raise NotFound("You have no telephone number here.")
    record(session, actor, EventType.USER_PHONE_REMOVED, user_id)


def forget(session: Session, user_id: int) -> bool:
    """Delete an account's numbers; whether there were any."""
    found = False
    for model in (Phone, PhoneCode):
        gone = sa.delete(model).where(model.user_id == user_id).returning(model.user_id)
        found |= session.execute(gone, execution_options=_QUIETLY).first() is not None
    return found


def stopped() -> Conflict:
    """The refusal of a number whose holder answered STOP."""
    message = "The holder of this number answered STOP; START, sent to us from it, lets messages through again."
    return Conflict(message, "sms_stopped", [FieldError("body", "phone", "sms_stopped", message)])


def nothing_waits() -> Conflict:
    """The refusal of a code where none is waited for."""
    return Conflict(
        "No code is waited for: ask for one; each is good for ten minutes and five attempts.", "wrong_state"
    )


def _take_over(session: Session, actor: Actor, number: str) -> None:
    """Whose number it was before has it no more."""
    # Two that confirm one number at the same moment: the second waits, and takes it over from the first.
    session.execute(sa.select(sa.func.pg_advisory_xact_lock(sa.func.hashtextextended(number, 0))))
    others = sa.delete(Phone).where(Phone.number == number, Phone.user_id != actor.user_id).returning(Phone.user_id)
    with row_security.elevated(session):
        former = session.execute(others, execution_options=_QUIETLY).scalar()
    if former is not None:
        record(session, Actor(request_id=actor.request_id), EventType.USER_PHONE_REMOVED, former)


def _count(session: Session, *subjects: bytes) -> None:
    """Count one more code for all ``subjects``; raises :class:`RateLimited`."""
    begun_anew = _n.date_begun < sa.func.now() - WINDOW
    # In one order, or two requests could wait for each other in a circle.
    for subject in sorted(subjects):
        state = sa.select(
            _n.sent,
            begun_anew.label("is_over"),
            sa.extract("epoch", _n.last_sent + PAUSE - sa.func.now()).label("pause"),
            sa.extract("epoch", _n.date_begun + WINDOW - sa.func.now()).label("window"),
        ).where(_n.subject == subject)
        first = {"sent": 1, "date_begun": sa.func.now(), "last_sent": sa.func.now()}
        added = postgresql.insert(PhoneCodeCount).values(subject=subject, **first).on_conflict_do_nothing()
        if session.execute(added.returning(_n.subject)).first() is not None:
            continue
        row = session.execute(state.with_for_update()).one()
        if row.pause > 0:
            raise _too_soon(row.pause)
        if not row.is_over and row.sent >= MOST_CODES:
            raise _too_soon(row.window)
        again = {"sent": _n.sent + 1, "last_sent": sa.func.now()}
        counted = sa.update(PhoneCodeCount).where(_n.subject == subject).values(first if row.is_over else again)
        session.execute(counted, execution_options=_QUIETLY)


def _too_soon(seconds: float) -> RateLimited:
    wait = int(seconds) + 1
    return RateLimited(f"Too many codes were asked for; wait {wait} seconds.", retry_after=wait)


def _wrong_code(left: int) -> Invalid:
    message = f"This is not the code that was sent; attempts left: {left}."
    return Invalid(message, "invalid_code", [FieldError("body", "code", "invalid_code", message)])


def _hash(rules: AccountRules, user_id: int, number: str, code: str) -> bytes:
    return rules.keyed_hash("phone-codes", f"{user_id}:{number}:{code}".encode())

"""Waiting times after failed log-ins, doubling per account and per address.

An account is counted by the e-mail address that was typed, whether or not it belongs to anyone: whoever is
told to wait learns nothing about who has an account.
"""

from __future__ import annotations

import ipaddress
from datetime import timedelta

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql
from sqlalchemy.orm import Session

from marketplace_api.domain.identity.accounts.config import AccountRules
from marketplace_api.errors import RateLimited
from marketplace_api.models.identity.accounts import LoginFailures

LONGEST_WAIT = 15 * 60
"""Seconds; longer would let a stranger lock an owner out for good."""
FORGOTTEN_AFTER = timedelta(days=1)
# Behind one address may sit a whole office.
ADDRESS_FACTOR = 4

_f = LoginFailures.__table__.c
_DOUBLINGS = LONGEST_WAIT.bit_length()

_STATE = (
    sa.select(_f.subject, _f.failures, sa.extract("epoch", _f.locked_until - sa.func.now()).label("wait"))
    .where(_f.subject == sa.any_(sa.bindparam("subjects", type_=postgresql.ARRAY(postgresql.BYTEA))))
    .where(_f.last_failed_at > sa.func.now() - FORGOTTEN_AFTER)
    .order_by(_f.subject)
    .with_for_update()
)


class Subjects:
    """What one attempt is counted under: keyed hashes, with the failures that each may have without waiting."""

    def __init__(self, rules: AccountRules, email: str, address: str = "") -> None:
        """``email`` as stored, or as typed where it is unknown; ``address`` is an IP address or empty."""
        free = rules.backoff_free_attempts
        self.account = rules.keyed_hash("login-failures", b"account:" + _plain(email))
        self.free = {self.account: free}
        if address:
            network = rules.keyed_hash("login-failures", b"address:" + _network(address))
            self.free[network] = free * ADDRESS_FACTOR


def admit(session: Session, subjects: Subjects) -> None:
    """Let an attempt through, or raise :class:`RateLimited` with the seconds to wait.

    Once someone has to wait, each attempt is counted as a coming failure before the password is looked at: a
    thousand attempts at once are one. ``session`` is a short transaction of its own.
    """
    rows = session.execute(_STATE, {"subjects": sorted(subjects.free)}).all()
    waits = [float(row.wait) for row in rows if row.wait is not None and row.wait > 0]
    if waits:
        raise RateLimited(
            "Too many failed log-ins; wait before you try again, or reset the password.",
            retry_after=int(max(waits)) + 1,
        )
    for row in rows:
        if row.failures >= subjects.free[row.subject]:
            claim = sa.func.now() + timedelta(seconds=_wait(row.failures, subjects.free[row.subject]))
            session.execute(sa.update(LoginFailures).where(_f.subject == row.subject).values(locked_until=claim))


def count_failure(session: Session, subjects: Subjects) -> None:
    """Add a failure to the account and the address. ``session`` is a short transaction of its own."""
    failures = sa.case((_f.last_failed_at <= sa.func.now() - FORGOTTEN_AFTER, 1), else_=_f.failures + 1)
    # In one order, or two failures could wait for each other in a circle.
    for subject in sorted(subjects.free):
        free = subjects.free[subject]
        first = {"failures": 1, "last_failed_at": sa.func.now(), "locked_until": _locked_until(sa.literal(1), free)}
        again = {**first, "failures": failures, "locked_until": _locked_until(failures, free)}
        insert = postgresql.insert(LoginFailures).values(subject=subject, **first)
        session.execute(insert.on_conflict_do_update(index_elements=["subject"], set_=again))


def clear(session: Session, subjects: Subjects) -> None:
    """After the right password: forget the account's failures, and let the address go on.

    The address keeps its count, or an attacker could reset it with an account of their own.
    """
    session.execute(sa.delete(LoginFailures).where(_f.subject == subjects.account))
    others = [subject for subject in subjects.free if subject != subjects.account]
    session.execute(sa.update(LoginFailures).where(_f.subject.in_(others)).values(locked_until=None))


def _wait(failures: int, free: int) -> int:
    return min(LONGEST_WAIT, 1 << min(failures - free, _DOUBLINGS))


def _locked_until(failures: sa.ColumnElement[int], free: int) -> sa.ColumnElement[object]:
    doublings = sa.func.least(failures - free, _DOUBLINGS)
    seconds = sa.func.least(LONGEST_WAIT, sa.func.power(sa.literal(2.0, sa.Float), doublings))
    second = sa.literal(timedelta(seconds=1), sa.Interval)
    return sa.case((failures >= free, sa.func.now() + seconds * second), else_=sa.null())


def _plain(email: str) -> bytes:
    return email.strip().lower().encode("utf-8", "surrogatepass")


def _network(address: str) -> bytes:
    """The address itself, or for IPv6 the /64 that one customer has to themselves (RFC 6177)."""
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return address.encode("utf-8", "surrogatepass")
    if isinstance(parsed, ipaddress.IPv6Address):
        return str(parsed.ipv4_mapped or ipaddress.ip_network((parsed.packed, 64), strict=False)).encode()
    return str(parsed).encode()

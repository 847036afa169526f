"""Waiting times after failed log-ins, so that guessing is slow and nobody is locked out by the guesses of others.

Failures count per account and network, beyond that per account over all networks, and per network by the number of
accounts that fail there. A device that is known to the account has a count of its own and waits for nobody else's.
An account is counted by the e-mail address that was typed, whether or not it belongs to anyone: whoever is told to wait
learns nothing about who has an account. Rows are locked in the order in which :class:`Attempt` lists its subjects.
"""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql
from sqlalchemy.orm import Session

from marketplace_api.database.base import table_of
from marketplace_api.domain.identity.accounts.config import AccountRules
from marketplace_api.errors import RateLimited
from marketplace_api.models.identity.accounts import LoginFailures

LONGEST_WAIT = 15 * 60
"""Seconds for one account; longer would let a stranger lock an owner out for good."""
LONGEST_NETWORK_WAIT = 60
"""Seconds for all strangers of one network, behind which may sit a whole town."""
FORGOTTEN_AFTER = timedelta(days=1)
ACCOUNT_FACTOR = 4
"""How many times the free failures of one network an account has over all networks together."""
NETWORK_FACTOR = 10
"""How many times the free failures of one account a network has accounts that fail."""
ACCOUNT_LEAK, NETWORK_LEAK = timedelta(hours=1), timedelta(minutes=5)
"""In this time one failure of an account, one failing account of a network is forgotten."""

_table = table_of(LoginFailures)
_f = _table.c

_STATE = (
    sa.select(
        _f.subject,
        _f.failures,
        _f.claim,
        sa.extract("epoch", sa.func.now() - _f.last_failed_at).label("idle"),
        sa.extract("epoch", _f.locked_until - sa.func.now()).label("wait"),
    )
    .where(_f.subject == sa.any_(sa.bindparam("subjects", type_=postgresql.ARRAY(postgresql.BYTEA))))
    .where(_f.last_failed_at > sa.func.now() - FORGOTTEN_AFTER)
    .order_by(sa.func.array_position(sa.bindparam("subjects", type_=postgresql.ARRAY(postgresql.BYTEA)), _f.subject))
)


@dataclass(frozen=True, slots=True)
class Known:
    """What an account knows of where an attempt comes from: the ``device``, by any name; its network (``at_home``)."""

    device: str | None = None
    at_home: bool = False


STRANGER = Known()


@dataclass(frozen=True, slots=True)
class Subject:
    """One count. ``free`` failures cost nothing; one is forgotten in each ``leak``, or all a day after the last."""

    key: bytes
    free: int
    longest_wait: int
    leak: timedelta | None = None
    enforced: bool = True
    """Whether one has to wait for it; else it is only counted."""

    def level(self, row: Any) -> int:
        """The failures that count now."""
        leaked = int(float(row.idle) / self.leak.total_seconds()) if self.leak else 0
        return max(int(row.failures) - leaked, 0)

    def wait(self, level: int) -> int:
        """Seconds after so many failures."""
        return min(self.longest_wait, 1 << min(level - self.free, LONGEST_WAIT.bit_length()))


class Attempt:
    """One attempt, and what it is counted under: keyed hashes, which name nobody.

    ``guess`` tells attempts with one password from those with another, by eight bits of a keyed hash: many at once with
    the same password are one guess, and all of them pass or fail together.
    """

    def __init__(
        self, rules: AccountRules, email: str, address: str = "", *, password: str = "", known: Known = STRANGER
    ) -> None:
        """``email`` as stored, or as typed where it is unknown; ``address`` is an IP address or empty."""
        free, network = rules.backoff_free_attempts, network_of(address)
        self.account = account_key(rules, email)

        def key(kind: str, *parts: bytes) -> bytes:
            return rules.keyed_hash("login-throttle", b"\x00".join((kind.encode(), *parts)))

        self.guess = key("guess", self.account, password.encode("utf-8", "surrogatepass"))[0]
        self.network: Subject | None = None
        self.everywhere: Subject | None = None
        if known.device is None:
            self.own = Subject(key("pair", self.account, network), free, LONGEST_WAIT)
        else:
            device = known.device.encode("utf-8", "surrogatepass")
            self.own = Subject(key("device", self.account, device), free, LONGEST_WAIT)
        if known == STRANGER:
            self.everywhere = Subject(self.account, free * ACCOUNT_FACTOR, LONGEST_WAIT, ACCOUNT_LEAK)
        if address and (known == STRANGER or known.at_home):
            room, strange = free * NETWORK_FACTOR, not known.at_home
            self.network = Subject(key("network", network), room, LONGEST_NETWORK_WAIT, NETWORK_LEAK, strange)

    @property
    def subjects(self) -> tuple[Subject, ...]:
        """In the order in which their rows are locked."""
        return tuple(subject for subject in (self.own, self.everywhere, self.network) if subject is not None)


def account_key(rules: AccountRules, email: str) -> bytes:
    """What the rows of an account have in common; nobody reads the address from it."""
    plain = email.strip().lower().encode("utf-8", "surrogatepass")
    return rules.keyed_hash("login-throttle", b"account\x00" + plain)


def admit(session: Session, attempt: Attempt) -> bool:
    """Let an attempt through, or raise :class:`RateLimited` with the seconds to wait; returns whether anything is counted.

    Once somebody has to wait, each attempt is counted as a coming failure before the password is looked at: a thousand
    guesses at once are one. ``session`` is a short transaction of its own.
    """
    enforced = {subject.key: subject for subject in attempt.subjects if subject.enforced}
    keys = {"subjects": list(enforced)}
    rows = session.execute(_STATE, keys).all()
    if any(enforced[row.subject].level(row) >= enforced[row.subject].free for row in rows):
        rows = session.execute(_STATE.with_for_update(), keys).all()
    waits = [float(row.wait) for row in rows if row.wait is not None and row.wait > 0 and row.claim != attempt.guess]
    if waits:
        raise RateLimited(
            "Too many failed log-ins; wait before you try again, or reset the password.",
            retry_after=int(max(waits)) + 1,
        )
    for row in rows:
        subject = enforced[row.subject]
        level = subject.level(row)
        if level >= subject.free and not (row.wait is not None and row.wait > 0):
            until = sa.func.now() + timedelta(seconds=subject.wait(level))
            claimed = sa.update(_table).where(_f.subject == subject.key)
            session.execute(claimed.values(locked_until=until, claim=attempt.guess))
    return bool(rows)


def count_failure(session: Session, attempt: Attempt) -> None:
    """Add a failure to each count; to the network's only the account's first, and to the account's only those that were
    free: from one network nobody fills what an account has over all of them. ``session`` is a short transaction."""
    number = _count(session, attempt.own, attempt.account)
    if attempt.everywhere is not None and number <= max(attempt.own.free, 1):
        _count(session, attempt.everywhere, attempt.account)
    if attempt.network is not None and number == 1:
        _count(session, attempt.network, None)


def clear(session: Session, attempt: Attempt) -> None:
    """After the right password: take back from every count what this account's failures from here added, and no more.

    So nobody resets the count of a network with an account of their own, nor an account's by guessing from elsewhere.
    """
    recent = sa.case((_f.last_failed_at > sa.func.now() - FORGOTTEN_AFTER, _f.failures), else_=0)
    own = sa.delete(_table).where(_f.subject == attempt.own.key).returning(recent)
    taken = session.execute(own).scalar() or 0
    shared = min(taken, max(attempt.own.free, 1))
    for subject, number in ((attempt.everywhere, shared), (attempt.network, min(taken, 1))):
        if subject is None:
            continue
        left = _f.failures - number
        is_mine = _f.claim == attempt.guess
        values = {
            "failures": sa.func.greatest(left, 0),
            "locked_until": sa.case((sa.or_(is_mine, left < subject.free), sa.null()), else_=_f.locked_until),
            "claim": sa.case((is_mine, sa.null()), else_=_f.claim),
        }
        changed = sa.or_(sa.literal(number) > 0, is_mine)
        session.execute(sa.update(_table).where(_f.subject == subject.key, changed).values(values))
        if number:
            session.execute(sa.delete(_table).where(_f.subject == subject.key, _f.failures == 0))


def forget(session: Session, rules: AccountRules, email: str) -> None:
    """Everything that is counted of an account goes: its password is another one, or it is erased.

    Its row is locked by the caller, so that two of these never meet.
    """
    ours = _f.account == account_key(rules, email)
    # The account's own count last, as where failures are counted.
    held = sa.select(_f.subject).where(ours).order_by(_f.subject == _f.account, _f.subject).with_for_update()
    subjects = session.execute(held).scalars().all()
    # None that came since: who counts a failure there waits for what is held here.
    session.execute(sa.delete(_table).where(_f.subject.in_(subjects)))


def network_of(address: str) -> bytes:
    """The address itself, or for IPv6 the /64 that one customer has to themselves (RFC 6177)."""
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return address.encode("utf-8", "surrogatepass")
    if isinstance(parsed, ipaddress.IPv6Address):
        return str(parsed.ipv4_mapped or ipaddress.ip_network((parsed.packed, 64), strict=False)).encode()
    return str(parsed).encode()


def _count(session: Session, subject: Subject, account: bytes | None) -> int:
    """One failure more; returns how many there are now."""
    now = sa.func.now()
    leaked: sa.ColumnElement[int] = sa.literal(0)
    since: sa.ColumnElement[Any] = now
    if subject.leak:
        idle = sa.extract("epoch", now - _f.last_failed_at)
        # Another one that began later may have been counted first: then this is before, and nothing has leaked.
        leaked = sa.cast(sa.func.floor(sa.func.greatest(idle, 0) / subject.leak.total_seconds()), sa.Integer)
        # What is left of the time in which the next one leaks counts on, or a steady trickle would never be forgotten.
        since = _f.last_failed_at + leaked * sa.literal(subject.leak, sa.Interval)
    left = sa.case((_f.last_failed_at <= now - FORGOTTEN_AFTER, 0), else_=sa.func.greatest(_f.failures - leaked, 0))
    first = {"failures": 1, "last_failed_at": now, "locked_until": _locked_until(sa.literal(1), subject), "claim": None}
    again = {
        "failures": left + 1,
        "last_failed_at": sa.case((left == 0, now), else_=since),
        "locked_until": _locked_until(left + 1, subject),
        "claim": None,
    }
    insert = postgresql.insert(_table).values(subject=subject.key, account=account, **first)
    counted = insert.on_conflict_do_update(index_elements=["subject"], set_=again).returning(_f.failures)
    return int(session.execute(counted).scalar_one())


def _locked_until(failures: sa.ColumnElement[int], subject: Subject) -> sa.ColumnElement[object]:
    doublings = sa.func.least(failures - subject.free, LONGEST_WAIT.bit_length())
    seconds = sa.func.least(subject.longest_wait, sa.func.power(sa.literal(2.0, sa.Float), doublings))
    second = sa.literal(timedelta(seconds=1), sa.Interval)
    return sa.case((failures >= subject.free, sa.func.now() + seconds * second), else_=sa.null())

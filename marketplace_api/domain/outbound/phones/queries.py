"""Finding an account's number and the one that waits, and the numbers that want nothing any more."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql
from sqlalchemy.orm import Session

from marketplace_api.database.base import table_of
from marketplace_api.database.prepared import Prepared, Reader
from marketplace_api.domain.identity.accounts.config import AccountRules
from marketplace_api.models.identity.accounts import User
from marketplace_api.models.outbound.phones import MOST_ATTEMPTS, Phone, PhoneCode, PhoneStop

_u, _p, _c = table_of(User).c, table_of(Phone).c, table_of(PhoneCode).c

# A number waits until its code is confirmed, used up or too old; one that could not be sent is told until then.
_WAITS = sa.and_(_c.user_id == _u.user_id, _c.expires_at > sa.func.now(), _c.attempts < MOST_ATTEMPTS)

COLUMNS = (
    _u.user_id,
    _p.number,
    _p.confirmed_at,
    _c.number.label("waiting_number"),
    _c.problem,
    _c.expires_at,
    _c.code_hash.is_not(None).label("is_sent"),
    (MOST_ATTEMPTS - _c.attempts).label("attempts_left"),
)
"""What the representation is made from; where no number waits, the columns of it are ``None``."""

_FIND = Prepared(
    sa.select(*COLUMNS)
    .select_from(
        table_of(User).outerjoin(table_of(Phone), _p.user_id == _u.user_id).outerjoin(table_of(PhoneCode), _WAITS)
    )
    .where(_u.user_id == sa.bindparam("user_id", type_=sa.BigInteger))
)


def find(db: Reader, user_id: int) -> Any | None:
    """The row of :data:`COLUMNS` of an account."""
    return _FIND.first(db, {"user_id": user_id})


def subject(rules: AccountRules, kind: str, value: str | int) -> bytes:
    """A number or an account under a keyed hash, which names nobody; ``kind`` keeps purposes apart."""
    return rules.keyed_hash(f"phone-{kind}", str(value).encode())


def is_stopped(db: Reader, rules: AccountRules, number: str) -> bool:
    """Whether the holder of a number wants nothing from us."""
    mine = PhoneStop.subject == subject(rules, "stops", number)
    return bool(db.execute(sa.select(sa.exists().where(mine))).scalar_one())


def stop(session: Session, rules: AccountRules, number: str) -> None:
    """Send nothing to a number any more, whoever's it is or will be."""
    row = {"subject": subject(rules, "stops", number)}
    session.execute(postgresql.insert(PhoneStop).values(row).on_conflict_do_nothing())


def resume(session: Session, rules: AccountRules, number: str) -> None:
    """The holder of a number, and nobody else, has changed their mind."""
    session.execute(
        sa.delete(PhoneStop).where(PhoneStop.subject == subject(rules, "stops", number)),
        execution_options={"synchronize_session": False},
    )


def confirmed_number(session: Session, user_id: int) -> str | None:
    """The number of an account that is written to: one that it has confirmed."""
    return session.execute(sa.select(_p.number).where(_p.user_id == user_id)).scalar()
